/* pass_through POOL LSD STOCK: an image of lsd and a stock RBD image of 16 MiB, both there, in one process: completions,
 * events, lists and names. */
#include "capi.h"
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/uio.h>

enum { SIZE = 16 << 20, BLOCK = 4096, MANY = 256, FORMAT_OPTION = 0x6c736400, PLACES = 64 };

static rados_ioctx_t io;
static const char *lsd_name, *stock_name;

struct seen {
	int calls;
	bool release;
	ssize_t result;
	pthread_mutex_t lock;
	pthread_cond_t called;
};

static void on_completion(rbd_completion_t c, void *arg)
{
	struct seen *seen = arg;
	pthread_mutex_lock(&seen->lock);
	seen->calls++;
	if (seen->release) {
		seen->result = rbd_aio_get_return_value(c);
		rbd_aio_release(c);
	}
	pthread_cond_broadcast(&seen->called);
	pthread_mutex_unlock(&seen->lock);
}

static void await_calls(struct seen *seen, int calls)
{
	pthread_mutex_lock(&seen->lock);
	while (seen->calls < calls)
		pthread_cond_wait(&seen->called, &seen->lock);
	pthread_mutex_unlock(&seen->lock);
}

#define NEW_SEEN { .lock = PTHREAD_MUTEX_INITIALIZER, .called = PTHREAD_COND_INITIALIZER }

static rbd_completion_t fresh(void)
{
	rbd_completion_t c;
	OK(rbd_aio_create_completion(NULL, NULL, &c));
	return c;
}

/* Writes to both at once; each gets what is its own. */
static void data_of_both(rbd_image_t images[2])
{
	static char data[2][MANY][BLOCK], back[BLOCK];
	rbd_completion_t c[2][MANY];
	for (int at = 0; at < MANY; at++)
		for (int which = 0; which < 2; which++) {
			fill(data[which][at], BLOCK, 1 + 2 * at + which);
			c[which][at] = fresh();
			OK(rbd_aio_write(images[which], (uint64_t)at * BLOCK, BLOCK, data[which][at], c[which][at]));
		}
	for (int at = 0; at < MANY; at++)
		for (int which = 0; which < 2; which++) {
			OK(rbd_aio_wait_for_complete(c[which][at]));
			IS(rbd_aio_is_complete(c[which][at]), 1);
			OK(rbd_aio_get_return_value(c[which][at]));
			rbd_aio_release(c[which][at]);
		}
	for (int at = 0; at < MANY; at++)
		for (int which = 0; which < 2; which++) {
			IS(rbd_read(images[which], (uint64_t)at * BLOCK, BLOCK, back), BLOCK);
			OK(memcmp(back, data[which][at], BLOCK));
		}
}

/* Released inside the callback, and before the end. */
static void callbacks(rbd_image_t image)
{
	static char data[BLOCK], back[BLOCK];
	struct seen inside = NEW_SEEN, before = NEW_SEEN;
	rbd_completion_t c;
	inside.release = true;
	fill(data, BLOCK, 77);
	OK(rbd_aio_create_completion(&inside, on_completion, &c));
	IS((intptr_t)rbd_aio_get_arg(c), (intptr_t)&inside);
	OK(rbd_aio_write2(image, BLOCK, BLOCK, data, c, 0));
	await_calls(&inside, 1);
	OK(inside.result);
	for (int at = 0; at < MANY; at++) {
		OK(rbd_aio_create_completion(&before, on_completion, &c));
		OK(rbd_aio_read(image, BLOCK, BLOCK, back, c));
		rbd_aio_release(c);
		IS(rbd_aio_is_complete(c), -EBADF);
		await_calls(&before, at + 1);
	}
	OK(memcmp(back, data, BLOCK));
}

/* What is not started leaves its completion; what fails tells it. */
static void refusals(rbd_image_t image)
{
	char data[BLOCK] = { 0 };
	struct iovec piece = { data, BLOCK };
	rbd_completion_t c = fresh();
	IS(rbd_aio_readv(image, &piece, 0, 0, c), -EINVAL);
	IS(rbd_aio_writesame(image, 0, BLOCK, data, 3, c, 0), -EINVAL);
	OK(rbd_aio_read(image, SIZE, BLOCK, data, c));
	OK(rbd_aio_wait_for_complete(c));
	IS(rbd_aio_get_return_value(c), -EINVAL);
	IS(rbd_aio_read(image, 0, BLOCK, data, c), -EINVAL);
	rbd_aio_release(c);
	IS(rbd_aio_flush(image, c), -EBADF);
	IS(rbd_aio_flush(image, NULL), -EINVAL);
	c = fresh();
	OK(rbd_aio_readv(image, &piece, 1, 0, c));
	OK(rbd_aio_wait_for_complete(c));
	IS(rbd_aio_get_return_value(c), BLOCK);
	rbd_aio_release(c);
}

/* Each image's descriptor wakes for its own operations, whose completions are the caller's own. */
static void events(rbd_image_t images[2])
{
	static char data[BLOCK];
	int fds[2];
	for (int which = 0; which < 2; which++) {
		fds[which] = eventfd(0, EFD_NONBLOCK);
		IS(rbd_set_image_notification(images[which], fds[which], 7), -EINVAL);
		OK(rbd_set_image_notification(images[which], fds[which], EVENT_TYPE_EVENTFD));
		IS(rbd_set_image_notification(images[which], fds[which], EVENT_TYPE_EVENTFD), -EINVAL);
	}
	for (int which = 0; which < 2; which++) {
		rbd_completion_t mine[MANY], polled[MANY];
		struct seen seen = NEW_SEEN;
		int found = 0;
		for (int at = 0; at < MANY; at++) {
			OK(rbd_aio_create_completion(&seen, at % 2 ? on_completion : NULL, &mine[at]));
			OK(rbd_aio_write(images[which], (uint64_t)at * BLOCK, BLOCK, data, mine[at]));
		}
		while (found < MANY) {
			struct pollfd ready = { .fd = fds[which], .events = POLLIN };
			uint64_t count;
			IS(poll(&ready, 1, 30000), 1);
			TRUE(read(fds[which], &count, sizeof(count)) == sizeof(count));
			int now = rbd_poll_io_events(images[which], polled + found, MANY - found);
			TRUE(now >= 0);
			if (now < 0)
				return;
			found += now;
		}
		IS(seen.calls, MANY / 2);
		for (int at = 0; at < MANY; at++) {
			int times = 0;
			for (int other = 0; other < MANY; other++)
				times += polled[other] == mine[at];
			IS(times, 1);
			OK(rbd_aio_wait_for_complete(mine[at]));
			OK(rbd_aio_get_return_value(mine[at]));
			rbd_aio_release(mine[at]);
		}
		IS(rbd_poll_io_events(images[1 - which], polled, MANY), 0);
	}
	close(fds[0]);
	close(fds[1]);
}

static int count_extent(uint64_t offset, size_t len, int exists, void *arg)
{
	(void)offset;
	*(uint64_t *)arg += exists ? len : 0;
	return 0;
}

/* What an image tells of itself, in memory that is given back. */
static void lists_of_an_image(rbd_image_t image)
{
	rbd_snap_info_t snaps[PLACES];
	rbd_image_watcher_t watchers[PLACES];
	size_t watcher_count = PLACES;
	int snap_count = 0;
	char keys[256], values[256], value[64];
	size_t keys_len = sizeof(keys), vals_len = sizeof(values), value_len = sizeof(value);
	uint64_t changed = 0, features;
	OK(rbd_snap_create(image, "one"));
	OK(rbd_snap_create(image, "two"));
	IS(rbd_snap_list(image, snaps, &snap_count), -ERANGE);
	TRUE(snap_count > 2 && snap_count <= PLACES);
	IS(rbd_snap_list(image, snaps, &snap_count), 2);
	OK(strcmp(snaps[0].name, "one"));
	OK(strcmp(snaps[1].name, "two"));
	rbd_snap_list_end(snaps);
	OK(rbd_diff_iterate2(image, NULL, 0, SIZE, 1, 1, count_extent, &changed));
	TRUE(changed > 0);
	OK(rbd_snap_remove(image, "two"));
	OK(rbd_watchers_list(image, watchers, &watcher_count));
	TRUE(watcher_count >= 1);
	rbd_watchers_list_cleanup(watchers, watcher_count);
	OK(rbd_metadata_set(image, "colour", "blue"));
	OK(rbd_metadata_get(image, "colour", value, &value_len));
	OK(strcmp(value, "blue"));
	OK(rbd_metadata_list(image, "", 0, keys, &keys_len, values, &vals_len));
	OK(rbd_get_features(image, &features));
	TRUE(features & RBD_FEATURE_LAYERING);
}

static bool is_listed(const char *name)
{
	char names[8192];
	size_t size = sizeof(names);
	int used = rbd_list(io, names, &size), times = 0;
	for (char *at = names; at < names + used; at += strlen(at) + 1)
		times += !strcmp(at, name);
	TRUE(used > 0 && times <= 1);
	return times == 1;
}

static rbd_image_options_t options_for(const char *format)
{
	rbd_image_options_t options;
	rbd_image_options_create(&options);
	if (format)
		OK(rbd_image_options_set_string(options, FORMAT_OPTION, format));
	return options;
}

/* A name is one image's, whichever kind. */
static void names_of_both(void)
{
	rbd_image_options_t stock = options_for("rbd"), lsd = options_for("lsd"), other = options_for("qcow2");
	rbd_image_spec_t specs[PLACES];
	size_t count = 1;
	int order = 0;
	TRUE(is_listed(lsd_name) && is_listed(stock_name));
	IS(rbd_list2(io, specs, &count), -ERANGE);
	TRUE(count >= 2 && count <= PLACES);
	OK(rbd_list2(io, specs, &count));
	for (size_t at = 1; at < count; at++)
		TRUE(strcmp(specs[at - 1].name, specs[at].name) <= 0);
	rbd_image_spec_list_cleanup(specs, count);
	IS(rbd_create(io, lsd_name, SIZE, &order), -EEXIST);
	IS(rbd_create(io, stock_name, SIZE, &order), -EEXIST);
	IS(rbd_create4(io, lsd_name, SIZE, stock), -EEXIST);
	IS(rbd_create4(io, stock_name, SIZE, lsd), -EEXIST);
	IS(rbd_create4(io, stock_name, SIZE, stock), -EEXIST);
	IS(rbd_create4(io, "another", SIZE, other), -EINVAL);
	IS(rbd_rename(io, stock_name, lsd_name), -EEXIST);
	IS(rbd_rename(io, lsd_name, stock_name), -EEXIST);
	IS(rbd_remove(io, "pass-nobody"), -ENOENT);
	OK(rbd_create4(io, "pass-new", SIZE, stock));
	OK(rbd_rename(io, "pass-new", "pass-old"));
	TRUE(is_listed("pass-old") && !is_listed("pass-new"));
	OK(rbd_remove(io, "pass-old"));
	TRUE(!is_listed("pass-old"));
	rbd_image_options_destroy(stock);
	rbd_image_options_destroy(lsd);
	rbd_image_options_destroy(other);
}

/* A clone is its parent's kind; a copy may become the other. */
static void clones_and_copies(rbd_image_t images[2])
{
	static char data[BLOCK], back[BLOCK];
	const char *parents[2] = { lsd_name, stock_name }, *formats[2] = { "lsd", "rbd" };
	for (int which = 0; which < 2; which++) {
		rbd_image_options_t same = options_for(NULL), across = options_for(formats[1 - which]);
		rbd_image_t made, at_snapshot;
		uint64_t number = 2;
		OK(rbd_image_options_set_uint64(same, RBD_IMAGE_OPTION_CLONE_FORMAT, number));
		IS(rbd_clone3(io, parents[which], "one", io, parents[1 - which], same), -EEXIST);
		IS(rbd_clone3(io, parents[which], "one", io, "pass-child", across), -EOPNOTSUPP);
		OK(rbd_clone3(io, parents[which], "one", io, "pass-child", same));
		IS(rbd_clone3(io, parents[which], "one", io, "pass-child", same), -EEXIST);
		rbd_linked_image_spec_t children[PLACES];
		size_t count = PLACES;
		OK(rbd_list_children3(images[which], children, &count));
		IS(count, 1);
		OK(strcmp(children[0].image_name, "pass-child"));
		rbd_linked_image_spec_list_cleanup(children, count);
		OK(rbd_open(io, "pass-child", &made, NULL));
		OK(rbd_open(io, parents[which], &at_snapshot, "one"));
		IS(rbd_read(made, 0, BLOCK, back), BLOCK);
		IS(rbd_read(at_snapshot, 0, BLOCK, data), BLOCK);
		OK(memcmp(data, back, BLOCK));
		OK(rbd_close(at_snapshot));
		OK(rbd_flatten(made));
		OK(rbd_close(made));
		OK(rbd_remove(io, "pass-child"));

		IS(rbd_copy(images[which], io, parents[1 - which]), -EEXIST);
		IS(rbd_deep_copy(images[which], io, "pass-copy", across), -EOPNOTSUPP);
		int told = 0;
		OK(rbd_copy_with_progress3(images[which], io, "pass-copy", across, note_progress, &told));
		TRUE(told > 0);
		OK(rbd_open(io, "pass-copy", &made, NULL));
		for (uint64_t at = 0; at < SIZE; at += BLOCK) {
			IS(rbd_read(made, at, BLOCK, back), BLOCK);
			IS(rbd_read(images[which], at, BLOCK, data), BLOCK);
			OK(memcmp(data, back, BLOCK));
		}
		char value[64];
		size_t value_len = sizeof(value);
		OK(rbd_metadata_get(made, "colour", value, &value_len));
		fill(data, BLOCK, 5);
		IS(rbd_write(made, SIZE - BLOCK, BLOCK, data), BLOCK);
		OK(rbd_copy2(images[which], made)); /* what the source has not becomes zeroes */
		IS(rbd_read(made, SIZE - BLOCK, BLOCK, back), BLOCK);
		TRUE(all(back, BLOCK, 0));
		OK(rbd_close(made));
		OK(rbd_remove(io, "pass-copy"));
		rbd_image_options_destroy(same);
		rbd_image_options_destroy(across);
	}
}

/* A stock image goes into the trash and comes back, to a name that is free. */
static void trash_of_both(void)
{
	rbd_image_options_t stock = options_for("rbd");
	rbd_trash_image_info_t entries[PLACES];
	size_t count = PLACES;
	int order = 0, found = -1;
	char id[64] = "";
	OK(rbd_create4(io, "pass-gone", SIZE, stock));
	OK(rbd_trash_move(io, "pass-gone", 0));
	TRUE(!is_listed("pass-gone"));
	int listed = rbd_trash_list(io, entries, &count);
	for (int at = 0; at < listed; at++)
		if (!strcmp(entries[at].name, "pass-gone"))
			found = at;
	TRUE(found >= 0);
	if (found >= 0)
		snprintf(id, sizeof(id), "%s", entries[found].id);
	rbd_trash_list_cleanup(entries, count);
	OK(rbd_create(io, "pass-gone", SIZE, &order)); /* of lsd, by default */
	IS(rbd_trash_restore(io, id, NULL), -EEXIST);
	IS(rbd_trash_restore(io, id, "pass-gone"), -EEXIST);
	OK(rbd_trash_restore(io, id, "pass-back"));
	TRUE(is_listed("pass-back"));
	OK(rbd_remove(io, "pass-back"));
	OK(rbd_remove(io, "pass-gone"));
	OK(rbd_create4(io, "pass-gone", SIZE, stock));
	OK(rbd_trash_move(io, "pass-gone", 0));
	OK(rbd_trash_purge(io, 0, -1));
	count = PLACES;
	IS(rbd_trash_list(io, entries, &count), 0);
	IS(rbd_trash_remove(io, id, true), -ENOENT);
	rbd_image_options_destroy(stock);
}

/* Groups and namespaces are either kind's. */
static void groups_and_namespaces(void)
{
	rbd_image_options_t stock = options_for("rbd");
	bool exists = false;
	char names[512];
	size_t size = sizeof(names);
	rbd_image_t image;
	OK(rbd_group_create(io, "pass-group"));
	OK(rbd_group_image_add(io, "pass-group", io, lsd_name));
	IS(rbd_group_image_add(io, "pass-group", io, stock_name), -EOPNOTSUPP);
	OK(rbd_group_image_remove(io, "pass-group", io, lsd_name));
	OK(rbd_group_remove(io, "pass-group"));
	OK(rbd_namespace_create(io, "pass-space"));
	IS(rbd_namespace_create(io, "pass-space"), -EEXIST);
	OK(rbd_namespace_exists(io, "pass-space", &exists));
	TRUE(exists);
	TRUE(rbd_namespace_list(io, names, &size) > 0);
	rados_ioctx_set_namespace(io, "pass-space");
	OK(rbd_create4(io, "inside", SIZE, stock));
	OK(rbd_open(io, "inside", &image, NULL));
	OK(rbd_close(image));
	rados_ioctx_set_namespace(io, "");
	IS(rbd_namespace_remove(io, "pass-space"), -EBUSY);
	rados_ioctx_set_namespace(io, "pass-space");
	OK(rbd_remove(io, "inside"));
	rados_ioctx_set_namespace(io, "");
	OK(rbd_namespace_remove(io, "pass-space"));
	rbd_image_options_destroy(stock);
}

/* Every way to open and close. */
static void opens(const char *name)
{
	char id[64], data[BLOCK] = { 0 };
	rbd_image_t image, second;
	rbd_completion_t c;
	OK(rbd_open(io, name, &image, NULL));
	OK(rbd_get_id(image, id, sizeof(id)));
	OK(rbd_open_by_id(io, id, &second, NULL));
	OK(rbd_close(second));
	OK(rbd_open_by_id_read_only(io, id, &second, NULL));
	IS(rbd_write(second, 0, BLOCK, data), -EROFS);
	OK(rbd_close(second));
	IS(rbd_close(second), -EBADF);
	IS(rbd_open(io, name, &second, "no-snapshot"), -ENOENT);
	OK(rbd_open_read_only(io, name, &second, "one"));
	IS(rbd_write(second, 0, BLOCK, data), -EROFS);
	OK(rbd_close(second));
	OK(rbd_close(image));
	IS(rbd_read(image, 0, BLOCK, data), -EBADF);
	c = fresh();
	OK(rbd_aio_open(io, name, &image, NULL, c));
	OK(rbd_aio_wait_for_complete(c));
	OK(rbd_aio_get_return_value(c));
	rbd_aio_release(c);
	IS(rbd_read(image, 0, BLOCK, data), BLOCK);
	c = fresh();
	OK(rbd_aio_close(image, c));
	OK(rbd_aio_wait_for_complete(c));
	OK(rbd_aio_get_return_value(c));
	rbd_aio_release(c);
	IS(rbd_flush(image), -EBADF);
	c = fresh();
	OK(rbd_aio_open_by_id_read_only(io, "nobody", &image, NULL, c));
	OK(rbd_aio_wait_for_complete(c));
	IS(rbd_aio_get_return_value(c), -ENOENT);
	rbd_aio_release(c);
}

/* A completion that had its operation closes nothing, and nobody misses a progress callback. */
static void closing(rbd_image_t image)
{
	uint64_t size = 0;
	rbd_completion_t used = fresh();
	OK(rbd_aio_flush(image, used));
	OK(rbd_aio_wait_for_complete(used));
	IS(rbd_aio_close(image, used), -EINVAL);
	rbd_aio_release(used);
	OK(rbd_get_size(image, &size));
	OK(rbd_resize_with_progress(image, size, NULL, NULL));
	OK(rbd_close(image));
	/* What is closed leaves its completion to the next one. */
	used = fresh();
	IS(rbd_aio_close(image, used), -EBADF);
	OK(rbd_aio_open_read_only(io, lsd_name, &image, NULL, used));
	OK(rbd_aio_wait_for_complete(used));
	OK(rbd_aio_get_return_value(used));
	rbd_aio_release(used);
	OK(rbd_close(image));
}

int main(int argc, char **argv)
{
	rados_t cluster;
	rbd_image_t images[2];
	if (argc != 4)
		return 2;
	io = open_pool(&cluster, argv[1]);
	lsd_name = argv[2];
	stock_name = argv[3];
	if (rbd_open(io, lsd_name, &images[0], NULL) < 0 || rbd_open(io, stock_name, &images[1], NULL) < 0) {
		fprintf(stderr, "%s and %s do not both open\n", lsd_name, stock_name);
		return 2;
	}
	data_of_both(images);
	for (int which = 0; which < 2; which++) {
		callbacks(images[which]);
		refusals(images[which]);
		lists_of_an_image(images[which]);
	}
	events(images);
	names_of_both();
	clones_and_copies(images);
	trash_of_both();
	groups_and_namespaces();
	closing(images[0]);
	closing(images[1]);
	opens(lsd_name);
	opens(stock_name);
	return finish(cluster, io);
}
