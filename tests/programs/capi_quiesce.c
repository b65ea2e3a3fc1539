/* capi_quiesce POOL NAME: a process that becomes quiet while another one takes snapshots. Everything holds on stock librbd too, but for
 * what is checked only with LSD_OWN set. */
#include "capi.h"
#include <poll.h>
#include <pthread.h>
#include <sys/wait.h>
#include <time.h>

enum { SIZE = 8 << 20, LEN = 512 };

static rados_ioctx_t io;
static const char *name;
static bool own;

/* What the watching process does when it is asked to be quiet. */
static struct {
	int result;	 /* what it completes with */
	int delay;	 /* seconds, on a thread of its own */
	char write;	 /* what it writes before, if anything */
	bool in_callback; /* completes there */
	bool never;
} how;

static rbd_image_t watched;
static uint64_t watch_handle;
static int events; /* a pipe: 'Q' or 'U' */

/* stock librbd calls the progress function without looking whether there is one */
static int take(rbd_image_t image, const char *snap, uint32_t flags)
{
	int told = 0;
	return rbd_snap_create2(image, snap, flags, note_progress, &told);
}

static void tell(char event)
{
	IS(write(events, &event, 1), 1);
}

static void *become_quiet(void *arg)
{
	char data[LEN];
	(void)arg;
	sleep(how.delay);
	if (how.write) {
		memset(data, how.write, LEN);
		IS(rbd_write(watched, 0, LEN, data), LEN);
		OK(rbd_flush(watched));
	}
	rbd_quiesce_complete(watched, watch_handle, how.result);
	return NULL;
}

static void on_quiesce(void *arg)
{
	pthread_t thread;
	TRUE(arg == &how);
	tell('Q');
	if (how.never)
		return;
	if (how.in_callback) {
		become_quiet(NULL);
		return;
	}
	OK(pthread_create(&thread, NULL, become_quiet, NULL));
	OK(pthread_detach(thread));
}

static void on_unquiesce(void *arg)
{
	TRUE(arg == &how);
	tell('U');
}

/* The watching process. Each command is a letter and a number; each is answered by a dot once it is done. */
static int watching(const char *pool, int commands, int answers)
{
	struct { char what; int number; } command;
	rados_t cluster;
	events = answers;
	io = open_pool(&cluster, pool);
	while (read(commands, &command, sizeof command) == sizeof command) {
		switch (command.what) {
		case 'o':
			OK(rbd_open(io, name, &watched, NULL));
			break;
		case 'w':
			OK(rbd_quiesce_watch(watched, on_quiesce, on_unquiesce, &how, &watch_handle));
			break;
		case 'e':
			OK(rbd_quiesce_unwatch(watched, watch_handle));
			if (own)
				IS(rbd_quiesce_unwatch(watched, watch_handle), -ENOENT);
			break;
		case 'r':
			memset(&how, 0, sizeof how);
			how.result = command.number;
			break;
		case 'd':
			how.delay = command.number;
			break;
		case 'b':
			how.write = (char)command.number;
			break;
		case 'i':
			how.in_callback = true;
			break;
		case 'n':
			how.never = true;
			break;
		case 'c':
			rbd_quiesce_complete(watched, watch_handle, command.number);
			break;
		case 's':
			IS(take(watched, "by-the-watcher", 0), command.number);
			break;
		case 'q':
			OK(rbd_close(watched));
			rados_ioctx_destroy(io);
			rados_shutdown(cluster);
			tell('.');
			return failures > 0;
		}
		tell('.');
	}
	return 2;
}

static int to_watcher, from_watcher;

/* What came until the answer, or, where `dot` is false, until there was silence for so long; then answers are left out. */
static const char *events_until(bool dot, int milliseconds)
{
	static char text[64];
	struct pollfd in = { .fd = from_watcher, .events = POLLIN };
	size_t len = 0;
	while (len < sizeof text - 1 && poll(&in, 1, milliseconds) == 1) {
		if (read(from_watcher, text + len, 1) != 1)
			break;
		if (text[len] != '.')
			len++;
		else if (dot)
			break;
	}
	text[len] = 0;
	return text;
}

static void begin(char what, int number)
{
	struct { char what; int number; } command;
	memset(&command, 0, sizeof command); /* what lies between the two is written, too */
	command.what = what;
	command.number = number;
	IS(write(to_watcher, &command, sizeof command), sizeof command);
}

static void ask(char what, int number)
{
	begin(what, number);
	events_until(true, 60000);
}

static void expect_events(const char *wanted)
{
	const char *found = events_until(false, 1500);
	if (strcmp(found, wanted))
		fprintf(stderr, "\"%s\" instead of \"%s\"\n", found, wanted);
	TRUE(!strcmp(found, wanted));
}

static bool has_snapshot(rbd_image_t image, const char *snap)
{
	bool exists = false;
	OK(rbd_snap_exists(image, snap, &exists));
	return exists;
}

static void quiet_and_on(rbd_image_t image)
{
	int told = 0;
	char data[LEN];
	rbd_image_t at;
	OK(rbd_snap_create(image, "one"));
	expect_events("QU");
	ask('r', 0);
	ask('i', 0);
	if (own)
		ask('b', 'w'); /* it takes the image for that: stock librbd has its taker wait for itself */
	OK(rbd_snap_create2(image, "two", 0, note_progress, &told));
	TRUE(told >= 1);
	expect_events("QU");
	if (own) {
		OK(rbd_open_read_only(io, name, &at, "two"));
		IS(rbd_read(at, 0, LEN, data), LEN);
		TRUE(all(data, LEN, 'w'));
		OK(rbd_close(at));
	}
	ask('r', 0);
	ask('d', 3);
	OK(take(image, "late", 0));
	expect_events("QU");
	OK(take(image, "skipped", RBD_SNAP_CREATE_SKIP_QUIESCE));
	expect_events("");
	IS(take(image, "one", 0), -EEXIST);
	expect_events("");
}

static void not_quiet(rbd_image_t image)
{
	ask('r', -EXDEV);
	IS(take(image, "failed", 0), -EXDEV);
	expect_events("QU");
	TRUE(!has_snapshot(image, "failed"));
	OK(take(image, "ignored", RBD_SNAP_CREATE_IGNORE_QUIESCE_ERROR));
	expect_events("QU");
}

static void by_option(rbd_image_t image)
{
	OK(rbd_metadata_set(image, "conf_rbd_default_snapshot_quiesce_mode", "skip"));
	OK(rbd_snap_create(image, "skip-by-option"));
	expect_events("");
	OK(rbd_metadata_set(image, "conf_rbd_default_snapshot_quiesce_mode", "ignore-error"));
	OK(rbd_snap_create(image, "ignored-by-option"));
	expect_events("QU");
	OK(rbd_metadata_remove(image, "conf_rbd_default_snapshot_quiesce_mode"));
	IS(rbd_snap_create(image, "failed"), -EXDEV);
	expect_events("QU");
}

static void in_no_time(rbd_image_t image)
{
	struct timespec began, ended;
	OK(rbd_metadata_set(image, "conf_rbd_quiesce_notification_attempts", "1"));
	ask('r', 0);
	ask('n', 0);
	clock_gettime(CLOCK_MONOTONIC, &began);
	IS(take(image, "never", 0), -ETIMEDOUT);
	clock_gettime(CLOCK_MONOTONIC, &ended);
	TRUE(ended.tv_sec - began.tv_sec >= 4 && ended.tv_sec - began.tv_sec <= 30);
	TRUE(!has_snapshot(image, "never"));
	expect_events("Q");
	if (own) { /* stock librbd lets it go on when it has answered, up to ten seconds later */
		begin('c', 0);
		expect_events("U");
	} else {
		begin('c', 0);
		events_until(false, 12000);
	}
	OK(rbd_metadata_remove(image, "conf_rbd_quiesce_notification_attempts"));
}

static void in_a_group(void)
{
	char group[256];
	snprintf(group, sizeof group, "%s-group", name);
	OK(rbd_group_create(io, group));
	OK(rbd_group_image_add(io, group, io, name));
	ask('r', 0);
	OK(rbd_group_snap_create2(io, group, "one", 0));
	expect_events("QU");
	OK(rbd_group_snap_create2(io, group, "two", RBD_SNAP_CREATE_SKIP_QUIESCE));
	expect_events("");
	ask('r', -EXDEV);
	IS(rbd_group_snap_create2(io, group, "three", 0), -EXDEV);
	expect_events("QU");
	OK(rbd_group_snap_create2(io, group, "four", RBD_SNAP_CREATE_IGNORE_QUIESCE_ERROR));
	expect_events("QU");
	for (const char *const *snap = (const char *const[]){ "one", "two", "four", NULL }; *snap; snap++)
		OK(rbd_group_snap_remove(io, group, *snap));
	OK(rbd_group_remove(io, group));
}

static void of_itself(rbd_image_t image)
{
	ask('r', 0);
	begin('s', 0);
	TRUE(!strcmp(events_until(false, 6000), "QU"));
	TRUE(has_snapshot(image, "by-the-watcher"));
	ask('e', 0);
	OK(rbd_snap_create(image, "nobody"));
	expect_events("");
	/* One that it is closed with. */
	ask('w', 0);
	ask('q', 0);
	OK(rbd_snap_create(image, "gone"));
}

static void remove_snapshots(rbd_image_t image)
{
	rbd_snap_info_t snaps[32];
	int most = 32, count = rbd_snap_list(image, snaps, &most);
	TRUE(count > 0);
	for (int at = 0; at < count; at++)
		OK(rbd_snap_remove(image, snaps[at].name));
	rbd_snap_list_end(snaps);
}

int main(int argc, char **argv)
{
	int commands[2], answers[2], status = 0, order = 0;
	rados_t cluster;
	rbd_image_t image;
	if (argc != 3 || pipe(commands) || pipe(answers))
		return 2;
	name = argv[2];
	own = getenv("LSD_OWN");
	pid_t watcher = fork();
	if (watcher == 0) {
		/* It ends with its parent. */
		close(commands[1]);
		_exit(watching(argv[1], commands[0], answers[1]));
	}
	close(answers[1]);
	to_watcher = commands[1];
	from_watcher = answers[0];
	io = open_pool(&cluster, argv[1]);
	OK(rbd_create(io, name, SIZE, &order));
	if (rbd_open(io, name, &image, NULL) < 0)
		return 2;
	if (own) {
		uint64_t handle;
		IS(rbd_quiesce_watch(image, NULL, on_unquiesce, NULL, &handle), -EINVAL);
		IS(rbd_quiesce_watch(image, on_quiesce, on_unquiesce, NULL, NULL), -EINVAL);
		/* in stock librbd a handle is a pointer */
		rbd_quiesce_complete(image, 77, 0);
		IS(rbd_quiesce_unwatch(image, 77), -ENOENT);
	}
	ask('o', 0);
	ask('w', 0);
	quiet_and_on(image);
	not_quiet(image);
	by_option(image);
	in_no_time(image);
	in_a_group();
	of_itself(image);
	remove_snapshots(image);
	OK(rbd_close(image));
	IS(waitpid(watcher, &status, 0), watcher);
	OK(status);
	rados_ioctx_destroy(io);
	rados_shutdown(cluster);
	return failures > 0;
}
