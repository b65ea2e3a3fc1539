/* capi_more POOL NAME: the rest of the supported API: copies, watches, questions about what no image has, and functions
 * newer than the installed header, which are looked up at run time and left out where the library has none. */
#include "capi.h"
#include <dlfcn.h>
#include <sys/uio.h>

enum { SIZE = 16 << 20 };

static rados_ioctx_t io;
static const char *name;
static bool own;

static void version_and_times(rbd_image_t image)
{
	int major = 0, minor = 0, extra = -1;
	struct timespec when;
	uint64_t flags = 9;
	rbd_version(&major, &minor, &extra);
	IS(major, 1);
	TRUE(minor >= 16);
	OK(rbd_get_access_timestamp(image, &when));
	TRUE(when.tv_nsec < 1000000000);
	OK(rbd_get_modify_timestamp(image, &when));
	TRUE(when.tv_nsec < 1000000000);
	OK(rbd_get_flags(image, &flags));
	IS(flags, 0);
}

static void not_mirrored(rbd_image_t image)
{
	rbd_mirror_mode_t mode = RBD_MIRROR_MODE_POOL;
	rbd_mirror_image_info_t info, later;
	rbd_completion_t c;

	OK(rbd_mirror_mode_get(io, &mode));
	IS(mode, RBD_MIRROR_MODE_DISABLED);
	IS(rbd_mirror_image_get_info(image, &info, sizeof(info) - 1), -ERANGE);
	OK(rbd_mirror_image_get_info(image, &info, sizeof(info)));
	TRUE(info.state == RBD_MIRROR_IMAGE_DISABLED && !info.primary && !strcmp(info.global_id, ""));
	rbd_mirror_image_get_info_cleanup(&info);
	OK(rbd_aio_create_completion(NULL, NULL, &c));
	OK(rbd_aio_mirror_image_get_info(image, &later, sizeof(later), c));
	OK(rbd_aio_wait_for_complete(c));
	OK(rbd_aio_get_return_value(c));
	rbd_aio_release(c);
	IS(later.state, RBD_MIRROR_IMAGE_DISABLED);
	rbd_mirror_image_get_info_cleanup(&later);
}

static void what_no_image_has(rbd_image_t image)
{
	char text[64], texts[64];
	size_t len = sizeof(text), len2 = sizeof(texts), max;
	uint64_t number = 0;
	int count = 4;
	struct timespec when;
	rbd_snap_namespace_type_t type;
	rbd_linked_image_spec_t spec[2];
	rbd_child_info_t children[4];
	rbd_snap_spec_t snap;
	rbd_group_info_t group;

	/* Callers use and clean up what they passed whatever they get. */
	IS(rbd_snap_get_id(image, "none", &number), -ENOENT);
	IS(number, (uint64_t)-2);
	text[0] = 'x';
	IS(rbd_snap_get_name(image, 12345, text, &len), -ENOENT);
	IS(len, 1);
	IS(text[0], 0);
	if (own) /* stock librbd aborts */
		IS(rbd_snap_get_timestamp(image, 12345, &when), -ENOENT);
	IS(rbd_snap_get_namespace_type(image, 12345, &type), -ENOENT);
	IS(rbd_snap_set_by_id(image, 12345), -ENOENT);
	OK(rbd_snap_set_by_id(image, (uint64_t)-2));
	OK(rbd_snap_get_limit(image, &number));
	IS(number, UINT64_MAX);
	memset(spec, 0xaa, sizeof(spec));
	memset(&snap, 0xaa, sizeof(snap));
	IS(rbd_get_parent(image, spec, &snap), -ENOENT);
	TRUE(!spec->pool_name && !spec->pool_namespace && !spec->image_id && !spec->image_name && !snap.name);
	rbd_linked_image_spec_cleanup(spec);
	rbd_snap_spec_cleanup(&snap);
	IS(rbd_get_parent_info2(image, text, 64, text, 64, text, 64, text, 64), -ENOENT);
	not_mirrored(image);
	len = len2 = 64;
	IS(rbd_list_children(image, text, &len, texts, &len2), 0);
	IS(len + len2, 0);
	memset(children, 0xaa, sizeof(children));
	OK(rbd_list_children2(image, children, &count));
	TRUE(!children[0].pool_name && !children[3].pool_name);
	max = 2;
	memset(spec, 0xaa, sizeof(spec));
	OK(rbd_list_children3(image, spec, &max));
	TRUE(!spec[0].pool_name && !spec[1].image_name);
	IS(max, 0);
	rbd_linked_image_spec_list_cleanup(spec, max);
	max = 2;
	OK(rbd_list_descendants(image, spec, &max));
	IS(max, 0);
	OK(rbd_get_group(image, &group, sizeof(group)));
	IS(group.pool, -1);
	IS(group.name[0], 0);
	OK(rbd_group_info_cleanup(&group, sizeof(group)));
}

static void expect_copy(const char *copy, const char *data, size_t len)
{
	static char back[SIZE];
	rbd_image_t image;
	OK(rbd_open_read_only(io, copy, &image, NULL));
	IS(rbd_read(image, 0, SIZE, back), SIZE);
	TRUE(!memcmp(back, data, len));
	TRUE(all(back + len, SIZE - len, 0));
	OK(rbd_close(image));
	OK(rbd_remove(io, copy));
}

static int progress(uint64_t offset, uint64_t total, void *arg)
{
	(void)offset, (void)total;
	++*(int *)arg;
	return 0;
}

static int canceled(uint64_t offset, uint64_t total, void *arg)
{
	(void)offset, (void)total, (void)arg;
	return -ECANCELED;
}

static void copies(rbd_image_t image)
{
	static char data[100000], other[SIZE];
	rbd_image_options_t opts;
	rbd_image_t copy;
	int told = 0, order = 0;
	uint64_t number;
	fill(data, sizeof(data), 21);
	fill(other, sizeof(other), 22);
	IS(rbd_write(image, 0, sizeof(data), data), sizeof(data));
	rbd_image_options_create(&opts);
	OK(rbd_image_options_set_uint64(opts, RBD_IMAGE_OPTION_ORDER, 20));
	OK(rbd_image_options_set_uint64(opts, RBD_IMAGE_OPTION_STRIPE_UNIT, 1 << 20));
	OK(rbd_image_options_set_uint64(opts, RBD_IMAGE_OPTION_STRIPE_COUNT, 1));

	OK(rbd_copy3(image, io, "capi-copy3", opts));
	OK(rbd_open_read_only(io, "capi-copy3", &copy, NULL));
	rbd_image_info_t info;
	OK(rbd_stat(copy, &info, sizeof(info)));
	IS(info.order, 20);
	OK(rbd_close(copy));
	expect_copy("capi-copy3", data, sizeof(data));
	OK(rbd_copy4(image, io, "capi-copy4", opts, 4096));
	expect_copy("capi-copy4", data, sizeof(data));
	OK(rbd_copy_with_progress3(image, io, "capi-copy5", opts, progress, &told));
	expect_copy("capi-copy5", data, sizeof(data));
	OK(rbd_copy_with_progress4(image, io, "capi-copy6", opts, progress, &told, 4096));
	expect_copy("capi-copy6", data, sizeof(data));
	TRUE(told > 0);
	if (own) { /* stock librbd does not heed the callback's answer */
		IS(rbd_copy_with_progress3(image, io, "capi-copy7", opts, canceled, NULL), -ECANCELED);
		OK(rbd_remove(io, "capi-copy7"));
	}

	/* Onto an image with other content: what the source does not have reads as zeroes afterwards. Stock librbd leaves
	 * there what was there. */
	OK(rbd_create(io, "capi-copy2", SIZE, &order));
	OK(rbd_open(io, "capi-copy2", &copy, NULL));
	IS(rbd_write(copy, 0, own ? SIZE : sizeof(data), other), own ? SIZE : sizeof(data));
	OK(rbd_copy2(image, copy));
	OK(rbd_copy_with_progress2(image, copy, progress, &told));
	OK(rbd_resize(copy, SIZE / 2));
	IS(rbd_copy2(image, copy), -EINVAL);
	OK(rbd_get_size(copy, &number));
	IS(number, SIZE / 2);
	OK(rbd_resize(copy, SIZE));
	OK(rbd_close(copy));
	expect_copy("capi-copy2", data, sizeof(data));
	rbd_image_options_destroy(opts);
}

static void changed(void *arg)
{
	__atomic_add_fetch((int *)arg, 1, __ATOMIC_SEQ_CST);
}

static void watching(rbd_image_t image)
{
	int calls = 0;
	uint64_t handle;
	OK(rbd_update_watch(image, &handle, changed, &calls));
	OK(rbd_metadata_set(image, "watched", "1"));
	for (int i = 0; i < 500 && !__atomic_load_n(&calls, __ATOMIC_SEQ_CST); i++)
		usleep(10000);
	TRUE(__atomic_load_n(&calls, __ATOMIC_SEQ_CST) > 0);
	/* Only what clients see of the image makes news, not who opens it, owns it or gives it back. */
	usleep(300000);
	int before = __atomic_load_n(&calls, __ATOMIC_SEQ_CST);
	rbd_image_t other;
	OK(rbd_open(io, name, &other, NULL));
	IS(rbd_write(other, 0, 4, "abcd"), 4);
	OK(rbd_close(other));
	usleep(300000);
	IS(__atomic_load_n(&calls, __ATOMIC_SEQ_CST), before);
	OK(rbd_update_unwatch(image, handle));
	if (own) /* stock librbd takes the handle for a pointer */
		IS(rbd_update_unwatch(image, handle), -ENOENT);
}

static int count_extents(uint64_t offset, size_t len, int exists, void *arg)
{
	(void)offset, (void)exists;
	*(uint64_t *)arg += len;
	return 0;
}

static void differences(rbd_image_t image)
{
	uint64_t sum = 0;
	OK(rbd_diff_iterate(image, NULL, 0, SIZE, count_extents, &sum));
	TRUE(sum >= 100000);
	int (*iterate3)(rbd_image_t, uint64_t, uint64_t, uint64_t, uint32_t,
			int (*)(uint64_t, size_t, int, void *), void *) = dlsym(RTLD_DEFAULT, "rbd_diff_iterate3");
	if (!iterate3)
		return;
	uint64_t bytes = 0, objects = 0;
	OK(iterate3(image, 0, 0, SIZE, 0, count_extents, &bytes));
	IS(bytes, sum);
	OK(iterate3(image, 0, 0, SIZE, 2, count_extents, &objects));
	IS(objects, 4 << 20);
	IS(iterate3(image, 12345, 0, SIZE, 0, count_extents, &bytes), -ENOENT);
	IS(iterate3(image, 0, 0, SIZE, 1u << 31, count_extents, &bytes), -EINVAL);
}

static void newer_data_calls(rbd_image_t image)
{
	ssize_t (*caw)(rbd_image_t, uint64_t, const struct iovec *, int, const struct iovec *, int, rbd_completion_t,
		       uint64_t *, int) = dlsym(RTLD_DEFAULT, "rbd_aio_compare_and_writev");
	int (*write_crc)(rbd_image_t, uint64_t, size_t, const char *, uint32_t, rbd_completion_t, int) =
		dlsym(RTLD_DEFAULT, "rbd_aio_write_with_crc32c");
	static char zero[1024], data[1024], back[1024];
	struct iovec expected[2] = { { zero, 100 }, { zero, 924 } }, wanted[1] = { { data, 1024 } };
	uint64_t at = 8 << 20, mismatch = 0;
	rbd_completion_t c;
	fill(data, sizeof(data), 5);
	if (!caw || !write_crc)
		return;
	for (int round = 0; round < 2; round++) {
		OK(rbd_aio_create_completion(NULL, NULL, &c));
		OK(caw(image, at, expected, 2, wanted, 1, c, &mismatch, 0));
		OK(rbd_aio_wait_for_complete(c));
		IS(rbd_aio_get_return_value(c), round ? -EILSEQ : 0);
		rbd_aio_release(c);
		IS(rbd_read(image, at, 1024, back), 1024);
		TRUE(!memcmp(back, data, 1024));
	}
	OK(rbd_aio_create_completion(NULL, NULL, &c));
	IS(caw(image, at, expected, 1, wanted, 1, c, &mismatch, 0), -EINVAL);
	OK(write_crc(image, at + 4096, 1024, data, 0, c, 0));
	OK(rbd_aio_wait_for_complete(c));
	OK(rbd_aio_get_return_value(c));
	rbd_aio_release(c);
	IS(rbd_read(image, at + 4096, 1024, back), 1024);
	TRUE(!memcmp(back, data, 1024));
}

int main(int argc, char **argv)
{
	rados_t cluster;
	rbd_image_t image;
	int order = 22;
	if (argc != 3)
		return 2;
	name = argv[2];
	own = getenv("LSD_OWN") != NULL;
	io = open_pool(&cluster, argv[1]);
	OK(rbd_create(io, name, SIZE, &order));
	if (rbd_open(io, name, &image, NULL) < 0)
		return 2;
	version_and_times(image);
	what_no_image_has(image);
	copies(image);
	watching(image);
	differences(image);
	newer_data_calls(image);
	OK(rbd_close(image));
	OK(rbd_remove(io, name));
	return finish(cluster, io);
}
