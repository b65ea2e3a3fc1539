/* capi_hygiene POOL NAME: misuse that a caller gets an errno for, where stock librbd may crash: null pointers,
 * handles that are closed, released, of another kind or invented. */
#include "capi.h"
#include <sys/uio.h>

enum { SIZE = 8 << 20 };

static rados_ioctx_t io;
static const char *name;

#define BAD_HANDLE(handle, wanted)                                                          \
	do {                                                                                \
		rbd_image_t h = (handle);                                                   \
		uint64_t n;                                                                 \
		uint8_t old;                                                                \
		char b[64];                                                                 \
		size_t len = sizeof(b);                                                     \
		rbd_image_info_t info;                                                      \
		IS(rbd_stat(h, &info, sizeof(info)), wanted);                               \
		IS(rbd_get_size(h, &n), wanted);                                            \
		IS(rbd_get_features(h, &n), wanted);                                        \
		IS(rbd_get_old_format(h, &old), wanted);                                    \
		IS(rbd_get_name(h, b, &len), wanted);                                       \
		IS(rbd_get_id(h, b, sizeof(b)), wanted);                                    \
		IS(rbd_get_data_pool_id(h), wanted);                                        \
		IS(rbd_read(h, 0, 1, b), wanted);                                           \
		IS(rbd_write(h, 0, 1, b), wanted);                                          \
		IS(rbd_discard(h, 0, 1), wanted);                                           \
		IS(rbd_write_zeroes(h, 0, 1, 0, 0), wanted);                                \
		IS(rbd_writesame(h, 0, 1, b, 1, 0), wanted);                                \
		IS(rbd_compare_and_write(h, 0, 1, b, b, &n, 0), wanted);                    \
		IS(rbd_flush(h), wanted);                                                   \
		IS(rbd_invalidate_cache(h), wanted);                                        \
		IS(rbd_resize(h, 1), wanted);                                               \
		IS(rbd_metadata_set(h, "k", "v"), wanted);                                  \
		IS(rbd_metadata_get(h, "k", b, &len), wanted);                              \
		IS(rbd_set_image_notification(h, 1, EVENT_TYPE_PIPE), wanted);              \
		IS(rbd_poll_io_events(h, (rbd_completion_t *)b, 1), wanted);                \
		IS(rbd_diff_iterate2(h, NULL, 0, 1, 0, 0, extent, NULL), wanted);           \
		IS(rbd_snap_exists(h, "s", (bool *)b), wanted);                             \
		IS(rbd_copy(h, io, "copy"), wanted);                                        \
		IS(rbd_update_watch(h, &n, watch, NULL), wanted);                           \
		IS(rbd_close(h), wanted);                                                   \
	} while (0)

static int extent(uint64_t offset, size_t len, int exists, void *arg)
{
	(void)offset, (void)len, (void)exists, (void)arg;
	return 0;
}

static void watch(void *arg)
{
	(void)arg;
}

static void bad_handles(rbd_image_t closed, rbd_completion_t completion)
{
	long on_stack[16] = { 0 };
	BAD_HANDLE(NULL, -EINVAL);
	BAD_HANDLE(closed, -EBADF);
	BAD_HANDLE((rbd_image_t)on_stack, -EBADF);
	BAD_HANDLE((rbd_image_t)(uintptr_t)1, -EBADF);
	BAD_HANDLE((rbd_image_t)(uintptr_t)-1, -EBADF);
	BAD_HANDLE((rbd_image_t)completion, -EBADF);
}

static void null_arguments(rbd_image_t image)
{
	rbd_completion_t c;
	rbd_image_t opened;
	size_t len = 4;
	char b[64];
	int order = 0;

	IS(rbd_open(io, NULL, &opened, NULL), -EINVAL);
	IS(rbd_open(io, name, NULL, NULL), -EINVAL);
	IS(rbd_open(NULL, name, &opened, NULL), -EINVAL);
	IS(rbd_open_by_id(io, NULL, &opened, NULL), -EINVAL);
	IS(rbd_create(io, NULL, SIZE, &order), -EINVAL);
	IS(rbd_create(io, "hygiene", SIZE, NULL), -EINVAL);
	IS(rbd_create(NULL, "hygiene", SIZE, &order), -EINVAL);
	IS(rbd_create4(io, "hygiene", SIZE, NULL), -EINVAL);
	IS(rbd_create(io, "", SIZE, &order), -EINVAL);
	IS(rbd_remove(io, NULL), -EINVAL);
	IS(rbd_remove(NULL, name), -EINVAL);
	IS(rbd_rename(io, name, NULL), -EINVAL);
	IS(rbd_rename(io, NULL, name), -EINVAL);
	IS(rbd_list(io, b, NULL), -EINVAL);
	IS(rbd_list2(io, NULL, NULL), -EINVAL);
	IS(rbd_list(NULL, b, &len), -EINVAL);
	IS(rbd_namespace_list(io, b, NULL), -EINVAL);
	IS(rbd_namespace_create(io, NULL), -EINVAL);
	IS(rbd_namespace_exists(io, "x", NULL), -EINVAL);
	IS(rbd_pool_init(NULL, false), -EINVAL);

	IS(rbd_stat(image, NULL, 8), -EINVAL);
	IS(rbd_get_size(image, NULL), -EINVAL);
	IS(rbd_get_features(image, NULL), -EINVAL);
	IS(rbd_get_create_timestamp(image, NULL), -EINVAL);
	IS(rbd_get_name(image, NULL, NULL), -EINVAL);
	IS(rbd_get_name(image, b, NULL), -EINVAL);
	IS(rbd_get_id(image, NULL, 64), -EINVAL);
	IS(rbd_read(image, 0, 1, NULL), -EINVAL);
	IS(rbd_write(image, 0, 1, NULL), -EINVAL);
	IS(rbd_read(image, 0, 0, NULL), 0);
	IS(rbd_write(image, 0, 0, NULL), 0);
	IS(rbd_writesame(image, 0, 512, NULL, 512, 0), -EINVAL);
	IS(rbd_compare_and_write(image, 0, 512, NULL, b, NULL, 0), -EINVAL);
	IS(rbd_read_iterate2(image, 0, 1, NULL, NULL), -EINVAL);
	IS(rbd_diff_iterate2(image, NULL, 0, 1, 0, 0, NULL, NULL), -EINVAL);
	IS(rbd_metadata_get(image, NULL, b, &len), -EINVAL);
	IS(rbd_metadata_set(image, "k", NULL), -EINVAL);
	IS(rbd_metadata_list(image, NULL, 0, b, &len, b, &len), -EINVAL);
	IS(rbd_metadata_list(image, "", 0, b, NULL, b, &len), -EINVAL);
	IS(rbd_snap_list(image, NULL, NULL), -EINVAL);
	IS(rbd_watchers_list(image, NULL, NULL), -EINVAL);
	IS(rbd_update_watch(image, NULL, watch, NULL), -EINVAL);
	IS(rbd_poll_io_events(image, NULL, 1), -EINVAL);
	IS(rbd_copy(image, io, NULL), -EINVAL);
	IS(rbd_copy(image, NULL, "copy"), -EINVAL);
	IS(rbd_copy2(image, NULL), -EINVAL);
	IS(rbd_features_to_string(1, NULL, NULL), -EINVAL);
	IS(rbd_features_from_string(NULL, NULL), -EINVAL);
	IS(rbd_features_from_string("layering", NULL), -EINVAL);

	IS(rbd_aio_create_completion(NULL, NULL, NULL), -EINVAL);
	OK(rbd_aio_create_completion(NULL, NULL, &c));
	IS(rbd_aio_write(image, 0, 1, NULL, c), -EINVAL);
	IS(rbd_aio_read(image, 0, 1, NULL, c), -EINVAL);
	IS(rbd_aio_readv(image, NULL, 1, 0, c), -EINVAL);
	struct iovec null_base = { NULL, 8 };
	IS(rbd_aio_writev(image, &null_base, 1, 0, c), -EINVAL);
	IS(rbd_aio_flush(image, NULL), -EINVAL);
	IS(rbd_aio_open(io, name, NULL, NULL, c), -EINVAL);
	IS(rbd_aio_open(io, name, &opened, NULL, NULL), -EINVAL);
	IS(rbd_aio_close(image, NULL), -EINVAL);
	/* None of these started an operation, so the completion can still take one. */
	OK(rbd_aio_flush(image, c));
	OK(rbd_aio_wait_for_complete(c));
	IS(rbd_aio_flush(image, c), -EINVAL);
	rbd_aio_release(c);

	rbd_version(NULL, NULL, NULL);
	rbd_image_options_create(NULL);
	rbd_image_options_destroy(NULL);
	IS(rbd_image_options_set_uint64(NULL, 0, 0), -EINVAL);
	rbd_image_spec_cleanup(NULL);
	rbd_image_spec_list_cleanup(NULL, 5);
	rbd_linked_image_spec_cleanup(NULL);
	rbd_snap_spec_cleanup(NULL);
	rbd_watchers_list_cleanup(NULL, 5);
	rbd_snap_list_end(NULL);
	rbd_pool_stats_create(NULL);
	rbd_pool_stats_destroy(NULL);
}

static void dead_completions(rbd_image_t image)
{
	rbd_completion_t c;
	OK(rbd_aio_create_completion(NULL, NULL, &c));
	rbd_aio_release(c);
	rbd_aio_release(c);
	rbd_aio_release(NULL);
	rbd_aio_release((rbd_completion_t)image);
	IS(rbd_aio_is_complete(c), -EBADF);
	IS(rbd_aio_wait_for_complete(c), -EBADF);
	IS(rbd_aio_get_return_value(c), -EBADF);
	TRUE(rbd_aio_get_arg(c) == NULL);
	IS(rbd_aio_flush(image, c), -EBADF);
	IS(rbd_aio_flush(image, (rbd_completion_t)image), -EBADF);
	uint64_t size;
	OK(rbd_get_size(image, &size));
}

static void sizes(rbd_image_t image)
{
	rbd_image_info_t info;
	memset(&info, 0x5a, sizeof(info));
	OK(rbd_stat(image, &info, 16));
	IS(info.size, SIZE);
	IS(info.num_objs, 0x5a5a5a5a5a5a5a5aLL);
	rbd_group_info_t group;
	IS(rbd_get_group(image, &group, sizeof(group) - 1), -ERANGE);
	IS(rbd_write(image, UINT64_MAX, 1, "x"), -EINVAL);
	IS(rbd_write(image, UINT64_MAX - 1, 16, "0123456789abcdef"), -EINVAL);
	IS(rbd_discard(image, UINT64_MAX, 1), -EINVAL);
	IS(rbd_resize(image, UINT64_MAX), -EINVAL);
	IS(rbd_diff_iterate2(image, NULL, UINT64_MAX, 1, 0, 0, extent, NULL), -EINVAL);
	OK(rbd_diff_iterate2(image, NULL, 1, UINT64_MAX, 0, 0, extent, NULL));
	IS(rbd_diff_iterate2(image, NULL, 0, UINT64_MAX, 0, 1, extent, NULL), 0);
}

static void unsupported(rbd_image_t image)
{
	int owner;
	rbd_image_options_t options;
	rbd_image_options_create(&options);
	IS(rbd_mirror_image_enable2(image, RBD_MIRROR_IMAGE_MODE_SNAPSHOT), -EOPNOTSUPP);
	IS(rbd_migration_prepare_import("{}", io, name, options), -EOPNOTSUPP);
	rbd_image_options_destroy(options);
	IS(rbd_encryption_load(image, RBD_ENCRYPTION_FORMAT_LUKS2, NULL, 0), -EOPNOTSUPP);
	OK(rbd_is_exclusive_lock_owner(image, &owner));
	IS(rbd_mirror_image_demote(image), -EOPNOTSUPP);
}

int main(int argc, char **argv)
{
	rados_t cluster;
	rbd_image_t image, closed;
	rbd_completion_t completion;
	if (argc != 3)
		return 2;
	name = argv[2];
	io = open_pool(&cluster, argv[1]);
	make_handles(io, name, SIZE, 0, &image, &closed, &completion);
	null_arguments(image);
	bad_handles(closed, completion);
	dead_completions(image);
	sizes(image);
	unsupported(image);
	rbd_aio_release(completion);
	OK(rbd_close(image));
	IS(rbd_close(image), -EBADF);
	OK(rbd_remove(io, name));
	return finish(cluster, io);
}
