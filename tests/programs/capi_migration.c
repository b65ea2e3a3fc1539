/* capi_migration POOL NAME: images that move. Everything holds on stock librbd too, but for what is checked only with LSD_OWN set. */
#include "capi.h"

enum { SIZE = 16 << 20, LEN = 4096, NAME = 64 };

static rados_ioctx_t io;
static const char *name;
static char other[NAME];
static bool own;

static void put(rbd_image_t image, uint64_t at, char value)
{
	char data[LEN];
	memset(data, value, LEN);
	IS(rbd_write(image, at, LEN, data), LEN);
}

#define expect(image, at, value) check_is(#value " at " #at, has(image, at, value), 1, __LINE__)

static bool has(rbd_image_t image, uint64_t at, char value)
{
	char back[LEN];
	IS(rbd_read(image, at, LEN, back), LEN);
	return all(back, LEN, value);
}

static rbd_image_t open_image(const char *image_name, const char *snap)
{
	rbd_image_t image;
	if (rbd_open(io, image_name, &image, snap) < 0) {
		fprintf(stderr, "cannot open %s\n", image_name);
		exit(2);
	}
	return image;
}

static void expect_state(const char *image_name, const char *source, const char *destination, int state)
{
	rbd_image_migration_status_t status;
	OK(rbd_migration_status(io, image_name, &status, sizeof(status)));
	IS(status.state, state);
	TRUE(!strcmp(status.source_image_name, source) && !strcmp(status.dest_image_name, destination));
	IS(status.source_pool_id, rados_ioctx_get_id(io));
	IS(status.dest_pool_id, rados_ioctx_get_id(io));
	TRUE(!*status.source_pool_namespace && !*status.dest_pool_namespace && !*status.state_description);
	TRUE(strcmp(status.source_image_id, status.dest_image_id));
	rbd_migration_status_cleanup(&status);
}

/* A source with a snapshot: byte 0 as 'a' and LEN as 'b', which is 'c' since. */
static void make_source(const char *source)
{
	int order = 0;
	OK(rbd_create(io, source, SIZE, &order));
	rbd_image_t image = open_image(source, NULL);
	put(image, 0, 'a');
	put(image, LEN, 'b');
	OK(rbd_snap_create(image, "s"));
	put(image, LEN, 'c');
	OK(rbd_close(image));
}

static void remove_image(const char *image_name)
{
	rbd_image_t image = open_image(image_name, NULL);
	OK(rbd_snap_remove(image, "s"));
	OK(rbd_close(image));
	OK(rbd_remove(io, image_name));
}

static void a_source_is_refused(void)
{
	rbd_image_options_t options;
	rbd_image_options_create(&options);
	rbd_image_t image = open_image(name, NULL);
	char spec[512];
	size_t len = sizeof(spec);
	IS(rbd_get_migration_source_spec(image, spec, &len), -EINVAL);
	OK(rbd_close(image));
	rbd_image_migration_status_t status;
	IS(rbd_migration_status(io, "none", &status, sizeof(status)), -ENOENT);
	IS(rbd_migration_status(io, name, &status, sizeof(status) - 1), -ERANGE);
	IS(rbd_migration_prepare(io, "none", io, other, options), -ENOENT);
	IS(rbd_migration_execute(io, "none"), -ENOENT);
	IS(rbd_migration_abort(io, "none"), -ENOENT);
	IS(rbd_migration_commit(io, "none"), -ENOENT);
	rbd_image_options_destroy(options);
}

static void it_moves(void)
{
	rbd_image_options_t options;
	rbd_image_options_create(&options);
	OK(rbd_image_options_set_uint64(options, RBD_IMAGE_OPTION_ORDER, 23));
	OK(rbd_migration_prepare(io, name, io, other, options));
	rbd_image_options_destroy(options);
	expect_state(other, name, other, RBD_IMAGE_MIGRATION_STATE_PREPARED);
	expect_state(name, name, other, RBD_IMAGE_MIGRATION_STATE_PREPARED);
	rbd_image_t image;
	IS(rbd_open(io, name, &image, NULL), -ENOENT);
	IS(rbd_remove(io, other), -EBUSY);
	IS(rbd_migration_commit(io, other), -EINVAL);
	image = open_image(other, NULL);
	rbd_image_info_t info;
	OK(rbd_stat(image, &info, sizeof(info)));
	IS(info.order, 23);
	uint64_t features;
	OK(rbd_get_features(image, &features));
	TRUE(features & RBD_FEATURE_MIGRATING);
	char spec[512];
	size_t len = 4;
	IS(rbd_get_migration_source_spec(image, spec, &len), -ERANGE);
	TRUE(len > 40 && len < sizeof(spec));
	OK(rbd_get_migration_source_spec(image, spec, &len));
	TRUE(strstr(spec, "\"type\":\"native\"") && strstr(spec, name));
	expect(image, 0, 'a');
	expect(image, LEN, 'c');
	put(image, 2 * LEN, 'd');
	int calls = 0;
	OK(rbd_migration_execute_with_progress(io, other, note_progress, &calls));
	TRUE(calls > 0);
	expect_state(other, name, other, RBD_IMAGE_MIGRATION_STATE_EXECUTED);
	put(image, 3 * LEN, 'e');
	put(image, 8 << 20, 'f');
	OK(rbd_close(image));
	OK(rbd_migration_commit_with_progress(io, other, note_progress, &calls));
	image = open_image(other, NULL);
	OK(rbd_get_features(image, &features));
	IS(features & RBD_FEATURE_MIGRATING, 0);
	expect(image, 0, 'a');
	expect(image, LEN, 'c');
	expect(image, 2 * LEN, 'd');
	expect(image, 3 * LEN, 'e');
	OK(rbd_snap_set(image, "s"));
	expect(image, LEN, 'b');
	OK(rbd_close(image));
}

static void it_comes_back(void)
{
	rbd_image_options_t options;
	rbd_image_options_create(&options);
	OK(rbd_migration_prepare(io, other, io, other, options));
	rbd_image_t image = open_image(other, NULL);
	put(image, 0, 'x');
	IS(rbd_discard(image, 8 << 20, 8 << 20), 8 << 20);
	OK(rbd_snap_create(image, "t"));
	OK(rbd_close(image));
	int calls = 0;
	OK(rbd_migration_abort_with_progress(io, other, note_progress, &calls));
	image = open_image(other, NULL);
	expect(image, 0, 'x');
	expect(image, LEN, 'c');
	/* What was not written but discarded, and snapshots, stock librbd loses. */
	expect(image, 8 << 20, own ? 0 : 'f');
	if (own) {
		OK(rbd_snap_set(image, "t"));
		expect(image, 0, 'x');
		OK(rbd_snap_set(image, ""));
		OK(rbd_snap_remove(image, "t"));
	}
	OK(rbd_close(image));
	OK(rbd_migration_prepare(io, other, io, "", options));
	OK(rbd_migration_abort(io, other));
	OK(rbd_migration_prepare(io, other, io, name, options));
	OK(rbd_migration_execute(io, name));
	OK(rbd_migration_commit(io, name));
	rbd_image_options_destroy(options);
}

int main(int argc, char **argv)
{
	rados_t cluster;
	if (argc != 3)
		return 2;
	name = argv[2];
	snprintf(other, NAME, "%s-moved", name);
	own = getenv("LSD_OWN") != NULL;
	io = open_pool(&cluster, argv[1]);
	make_source(name);
	a_source_is_refused();
	it_moves();
	it_comes_back();
	remove_image(name);
	return finish(cluster, io);
}
