/* capi_misuse POOL NAME: every function that takes an image or options, and that capi_hygiene leaves out, on handles
 * that are no images, with null pointers, and with buffers that are too small. Buffers of data are allocations of exactly
 * the size that the library is told, so that a memory checker sees the first byte written beyond it. */
#include "capi.h"
#include <sys/uio.h>

enum { SIZE = 8 << 20, ORDER = 22 };

static rados_ioctx_t io;
static const char *name;

static int extent(uint64_t offset, size_t len, int exists, void *arg)
{
	(void)offset, (void)len, (void)exists, (void)arg;
	return 0;
}

static int bytes(uint64_t offset, size_t len, const char *buffer, void *arg)
{
	(void)offset, (void)len, (void)buffer, (void)arg;
	return 0;
}

static int progress(uint64_t done, uint64_t total, void *arg)
{
	(void)done, (void)total, (void)arg;
	return 0;
}

/* Calls that describe. */
static void described(rbd_image_t h, int wanted)
{
	uint64_t n;
	int number, max = 1;
	size_t len = 1, len2 = 1;
	char b[64];
	struct timespec when;
	rbd_snap_info_t snap;
	rbd_image_watcher_t watcher;
	rbd_linked_image_spec_t linked;
	rbd_snap_spec_t spec;
	rbd_child_info_t child;
	rbd_snap_namespace_type_t type;
	rbd_group_info_t group;
	IS(rbd_get_access_timestamp(h, &when), wanted);
	IS(rbd_get_create_timestamp(h, &when), wanted);
	IS(rbd_get_modify_timestamp(h, &when), wanted);
	IS(rbd_get_block_name_prefix(h, b, sizeof(b)), wanted);
	IS(rbd_get_flags(h, &n), wanted);
	IS(rbd_get_op_features(h, &n), wanted);
	IS(rbd_get_stripe_count(h, &n), wanted);
	IS(rbd_get_stripe_unit(h, &n), wanted);
	IS(rbd_metadata_list(h, "", 1, b, &len, b, &len2), wanted);
	IS(rbd_watchers_list(h, &watcher, &len), wanted);
	IS(rbd_snap_get_id(h, "s", &n), wanted);
	IS(rbd_snap_get_limit(h, &n), wanted);
	IS(rbd_snap_get_name(h, 1, b, &len), wanted);
	IS(rbd_snap_get_namespace_type(h, 1, &type), wanted);
	IS(rbd_snap_get_timestamp(h, 1, &when), wanted);
	IS(rbd_snap_is_protected(h, "s", &number), wanted);
	IS(rbd_snap_list(h, &snap, &max), wanted);
	IS(rbd_snap_set(h, NULL), wanted);
	IS(rbd_snap_set_by_id(h, 1), wanted);
	IS(rbd_snap_create(h, "s"), wanted);
	IS(rbd_snap_create2(h, "s", 0, progress, NULL), wanted);
	IS(rbd_snap_remove(h, "s"), wanted);
	IS(rbd_snap_remove2(h, "s", 0, progress, NULL), wanted);
	IS(rbd_snap_remove_by_id(h, 1), wanted);
	IS(rbd_snap_rename(h, "s", "t"), wanted);
	IS(rbd_snap_protect(h, "s"), wanted);
	IS(rbd_snap_unprotect(h, "s"), wanted);
	IS(rbd_snap_rollback(h, "s"), wanted);
	IS(rbd_snap_rollback_with_progress(h, "s", progress, NULL), wanted);
	IS(rbd_snap_set_limit(h, 1), wanted);
	IS(rbd_get_overlap(h, &n), wanted);
	IS(rbd_get_parent(h, &linked, &spec), wanted);
	IS(rbd_get_parent_info(h, b, 1, b, 1, b, 1), wanted);
	IS(rbd_get_parent_info2(h, b, 1, b, 1, b, 1, b, 1), wanted);
	IS(rbd_list_children(h, b, &len, b, &len2), wanted);
	IS(rbd_list_children2(h, &child, &max), wanted);
	IS(rbd_list_children3(h, &linked, &len), wanted);
	IS(rbd_list_descendants(h, &linked, &len), wanted);
	IS(rbd_get_group(h, &group, sizeof(group)), wanted);
}

/* Calls that change, copy, lock and move data. */
static void changed(rbd_image_t h, rbd_image_t good, int wanted)
{
	rbd_lock_mode_t mode;
	rbd_image_options_t options;
	char b[64], *owner;
	int number;
	size_t len = 1, len2 = 1, len3 = 1, len4 = 1;
	IS(rbd_resize2(h, 1, true, progress, NULL), wanted);
	IS(rbd_resize_with_progress(h, 1, progress, NULL), wanted);
	IS(rbd_update_features(h, RBD_FEATURE_EXCLUSIVE_LOCK, 0), wanted);
	IS(rbd_metadata_remove(h, "k"), wanted);
	IS(rbd_update_unwatch(h, 1), wanted);
	IS(rbd_read2(h, 0, 1, b, 0), wanted);
	IS(rbd_read_iterate(h, 0, 1, bytes, NULL), wanted);
	IS(rbd_read_iterate2(h, 0, 1, bytes, NULL), wanted);
	IS(rbd_write2(h, 0, 1, b, 0), wanted);
	IS(rbd_diff_iterate(h, NULL, 0, 1, extent, NULL), wanted);
	IS(rbd_copy2(h, good), wanted);
	IS(rbd_copy2(good, h), wanted);
	IS(rbd_copy_with_progress(h, io, "copy", progress, NULL), wanted);
	IS(rbd_copy_with_progress2(h, good, progress, NULL), wanted);
	IS(rbd_copy_with_progress2(good, h, progress, NULL), wanted);
	rbd_image_options_create(&options);
	IS(rbd_copy3(h, io, "copy", options), wanted);
	IS(rbd_copy4(h, io, "copy", options, 4096), wanted);
	IS(rbd_copy_with_progress3(h, io, "copy", options, progress, NULL), wanted);
	IS(rbd_copy_with_progress4(h, io, "copy", options, progress, NULL, 4096), wanted);
	rbd_image_options_destroy(options);
	IS(rbd_break_lock(h, "client.1", "c"), wanted);
	IS(rbd_is_exclusive_lock_owner(h, &number), wanted);
	IS(rbd_list_lockers(h, &number, b, &len, b, &len2, b, &len3, b, &len4), wanted);
	IS(rbd_lock_acquire(h, RBD_LOCK_MODE_EXCLUSIVE), wanted);
	IS(rbd_lock_break(h, RBD_LOCK_MODE_EXCLUSIVE, "client"), wanted);
	IS(rbd_lock_exclusive(h, "c"), wanted);
	IS(rbd_lock_get_owners(h, &mode, &owner, &len), wanted);
	IS(rbd_lock_release(h), wanted);
	IS(rbd_lock_shared(h, "c", "t"), wanted);
	IS(rbd_unlock(h, "c"), wanted);
}

/* None of these starts, so one completion serves them all, and its callback never comes. */
static void started(rbd_image_t h, int wanted)
{
	rbd_completion_t c;
	uint64_t n;
	char b[64] = { 0 };
	struct iovec iov = { b, sizeof(b) };
	OK(rbd_aio_create_completion(NULL, NULL, &c));
	IS(rbd_aio_read(h, 0, 1, b, c), wanted);
	IS(rbd_aio_read2(h, 0, 1, b, c, 0), wanted);
	IS(rbd_aio_readv(h, &iov, 1, 0, c), wanted);
	IS(rbd_aio_write(h, 0, 1, b, c), wanted);
	IS(rbd_aio_write2(h, 0, 1, b, c, 0), wanted);
	IS(rbd_aio_writev(h, &iov, 1, 0, c), wanted);
	IS(rbd_aio_writesame(h, 0, 64, b, 64, c, 0), wanted);
	IS(rbd_aio_write_zeroes(h, 0, 1, c, 0, 0), wanted);
	IS(rbd_aio_discard(h, 0, 1, c), wanted);
	IS(rbd_aio_compare_and_write(h, 0, 1, b, b, c, &n, 0), wanted);
	IS(rbd_aio_flush(h, c), wanted);
	IS(rbd_aio_close(h, c), wanted);
	IS(rbd_aio_is_complete(c), 0);
	rbd_aio_release(c);
}

static void null_pointers(rbd_image_t image)
{
	rbd_completion_t c;
	uint64_t n;
	int order = ORDER;
	size_t len = 64;
	char b[64] = { 0 }, *owner;
	rbd_lock_mode_t mode;
	IS(rbd_create2(io, NULL, SIZE, 1, &order), -EINVAL);
	IS(rbd_create3(NULL, "n", SIZE, 1, &order, 0, 0), -EINVAL);
	IS(rbd_open_read_only(io, NULL, &image, NULL), -EINVAL);
	IS(rbd_open_by_id_read_only(io, "id", NULL, NULL), -EINVAL);
	IS(rbd_remove_with_progress(io, NULL, progress, NULL), -EINVAL);
	IS(rbd_namespace_remove(io, NULL), -EINVAL);
	IS(rbd_get_access_timestamp(image, NULL), -EINVAL);
	IS(rbd_get_modify_timestamp(image, NULL), -EINVAL);
	IS(rbd_get_block_name_prefix(image, NULL, 64), -EINVAL);
	IS(rbd_get_flags(image, NULL), -EINVAL);
	IS(rbd_get_op_features(image, NULL), -EINVAL);
	IS(rbd_get_stripe_count(image, NULL), -EINVAL);
	IS(rbd_get_stripe_unit(image, NULL), -EINVAL);
	IS(rbd_get_overlap(image, NULL), -EINVAL);
	IS(rbd_snap_get_limit(image, NULL), -EINVAL);
	IS(rbd_snap_exists(image, NULL, (bool *)b), -EINVAL);
	IS(rbd_snap_exists(image, "s", NULL), -EINVAL);
	IS(rbd_snap_create(image, NULL), -EINVAL);
	IS(rbd_snap_create2(image, NULL, 0, NULL, NULL), -EINVAL);
	IS(rbd_snap_remove(image, NULL), -EINVAL);
	IS(rbd_snap_remove2(image, NULL, 0, NULL, NULL), -EINVAL);
	IS(rbd_snap_rename(image, NULL, "t"), -EINVAL);
	IS(rbd_snap_rename(image, "s", NULL), -EINVAL);
	IS(rbd_snap_protect(image, NULL), -EINVAL);
	IS(rbd_snap_unprotect(image, NULL), -EINVAL);
	IS(rbd_snap_is_protected(image, NULL, NULL), -EINVAL);
	IS(rbd_snap_rollback(image, NULL), -EINVAL);
	IS(rbd_snap_get_id(image, NULL, NULL), -EINVAL);
	IS(rbd_snap_get_name(image, 1, b, NULL), -EINVAL);
	int one = 1;
	IS(rbd_snap_list(image, NULL, &one), -EINVAL);
	IS(rbd_read2(image, 0, 1, NULL, 0), -EINVAL);
	IS(rbd_write2(image, 0, 1, NULL, 0), -EINVAL);
	IS(rbd_read_iterate(image, 0, 1, NULL, NULL), -EINVAL);
	IS(rbd_diff_iterate(image, NULL, 0, 1, NULL, NULL), -EINVAL);
	IS(rbd_copy3(image, NULL, "copy", NULL), -EINVAL);
	IS(rbd_copy4(image, io, NULL, NULL, 4096), -EINVAL);
	IS(rbd_copy_with_progress(image, NULL, "copy", progress, NULL), -EINVAL);
	IS(rbd_copy_with_progress2(image, NULL, progress, NULL), -EINVAL);
	IS(rbd_copy_with_progress3(image, io, NULL, NULL, progress, NULL), -EINVAL);
	IS(rbd_copy_with_progress4(image, io, NULL, NULL, progress, NULL, 4096), -EINVAL);
	IS(rbd_metadata_remove(image, NULL), -EINVAL);
	IS(rbd_break_lock(image, NULL, "c"), -EINVAL);
	IS(rbd_lock_exclusive(image, NULL), -EINVAL);
	IS(rbd_lock_shared(image, "c", NULL), -EINVAL);
	IS(rbd_unlock(image, NULL), -EINVAL);
	IS(rbd_lock_break(image, RBD_LOCK_MODE_EXCLUSIVE, NULL), -EINVAL);
	OK(rbd_lock_acquire(image, RBD_LOCK_MODE_EXCLUSIVE));
	IS(rbd_lock_get_owners(image, NULL, &owner, &len), -EINVAL);
	IS(rbd_lock_get_owners(image, &mode, NULL, &len), -EINVAL);
	IS(rbd_lock_get_owners(image, &mode, &owner, NULL), -EINVAL);
	size_t none = 0;
	IS(rbd_lock_get_owners(image, &mode, NULL, &none), -ERANGE);
	IS(none, 1);
	OK(rbd_lock_release(image));
	IS(rbd_is_exclusive_lock_owner(image, NULL), -EINVAL);
	IS(rbd_list_lockers(image, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL), -EINVAL);
	IS(rbd_list_children(image, NULL, NULL, NULL, NULL), -EINVAL);
	IS(rbd_list_children2(image, NULL, NULL), -EINVAL);
	IS(rbd_list_children3(image, NULL, NULL), -EINVAL);
	IS(rbd_list_descendants(image, NULL, NULL), -EINVAL);
	rbd_lock_get_owners_cleanup(NULL, 3);
	rbd_linked_image_spec_list_cleanup(NULL, 3);
	OK(rbd_aio_create_completion(NULL, NULL, &c));
	IS(rbd_aio_read2(image, 0, 1, NULL, c, 0), -EINVAL);
	IS(rbd_aio_write2(image, 0, 1, NULL, c, 0), -EINVAL);
	IS(rbd_aio_writesame(image, 0, 512, NULL, 512, c, 0), -EINVAL);
	IS(rbd_aio_compare_and_write(image, 0, 512, NULL, b, c, &n, 0), -EINVAL);
	IS(rbd_aio_open_by_id(io, NULL, &image, NULL, c), -EINVAL);
	IS(rbd_aio_open_by_id_read_only(io, NULL, &image, NULL, c), -EINVAL);
	IS(rbd_aio_open_read_only(io, NULL, &image, NULL, c), -EINVAL);
	IS(rbd_aio_discard(image, 0, 1, NULL), -EINVAL);
	IS(rbd_aio_write_zeroes(image, 0, 1, NULL, 0, 0), -EINVAL);
	rbd_aio_release(c);
}

static void bad_options(void)
{
	rbd_image_options_t options;
	uint64_t n;
	bool set;
	char *b = malloc(1);
	rbd_image_options_create(&options);
	OK(rbd_image_options_set_string(options, RBD_IMAGE_OPTION_DATA_POOL, "rbd"));
	IS(rbd_image_options_get_string(options, RBD_IMAGE_OPTION_DATA_POOL, b, 1), -E2BIG);
	IS(rbd_image_options_get_string(options, RBD_IMAGE_OPTION_DATA_POOL, NULL, 64), -EINVAL);
	IS(rbd_image_options_set_string(options, RBD_IMAGE_OPTION_DATA_POOL, NULL), -EINVAL);
	OK(rbd_image_options_set_uint64(options, RBD_IMAGE_OPTION_ORDER, ORDER));
	IS(rbd_image_options_get_uint64(options, RBD_IMAGE_OPTION_ORDER, NULL), -EINVAL);
	IS(rbd_image_options_is_set(options, RBD_IMAGE_OPTION_ORDER, NULL), -EINVAL);
	IS(rbd_image_options_set_uint64(options, 999, 1), -EINVAL);
	IS(rbd_image_options_unset(options, 999), -EINVAL);
	rbd_image_options_destroy(options);
	IS(rbd_image_options_get_uint64(NULL, RBD_IMAGE_OPTION_ORDER, &n), -EINVAL);
	IS(rbd_image_options_get_string(NULL, RBD_IMAGE_OPTION_DATA_POOL, b, 1), -EINVAL);
	IS(rbd_image_options_set_string(NULL, RBD_IMAGE_OPTION_DATA_POOL, "rbd"), -EINVAL);
	IS(rbd_image_options_is_set(NULL, RBD_IMAGE_OPTION_ORDER, &set), -EINVAL);
	IS(rbd_image_options_unset(NULL, RBD_IMAGE_OPTION_ORDER), -EINVAL);
	rbd_image_options_clear(NULL);
	IS(rbd_image_options_is_empty(NULL), -EINVAL);
	free(b);
}

/* A list that needs `needed` bytes or elements of `each` bytes, into one too few: -ERANGE, and what is needed. */
#define TOO_SMALL(call, needed, each)                              \
	do {                                                       \
		size_t len = 0, wanted_len;                        \
		char *b = NULL;                                    \
		IS(call, -ERANGE);                                 \
		wanted_len = len;                                  \
		TRUE(wanted_len >= (needed));                      \
		len = wanted_len - 1;                              \
		b = len ? malloc(len * (each)) : NULL;             \
		IS(call, -ERANGE);                                 \
		IS(len, wanted_len);                               \
		free(b);                                           \
		b = malloc(len * (each));                          \
		TRUE((call) >= 0);                                 \
		free(b);                                           \
	} while (0)

static void too_small(rbd_image_t image)
{
	char *one = malloc(1);
	TOO_SMALL(rbd_list(io, b, &len), strlen(name) + 1, 1);
	TOO_SMALL(rbd_get_name(image, b, &len), strlen(name) + 1, 1);
	OK(rbd_metadata_set(image, "key", "a value"));
	TOO_SMALL(rbd_metadata_get(image, "key", b, &len), 7, 1);
	IS(rbd_get_id(image, one, 1), -ERANGE);
	IS(rbd_get_block_name_prefix(image, one, 1), -ERANGE);
	free(one);
	/* Pieces that end in the last byte of the buffer. */
	for (size_t len = 1; len < 9000; len = len * 3 + 1) {
		char *data = malloc(len), *back = malloc(len);
		struct iovec iov[2] = { { back, len / 2 }, { back + len / 2, len - len / 2 } };
		rbd_completion_t c;
		uint64_t mismatch = 0;
		fill(data, len, (unsigned)len);
		IS(rbd_write(image, 777, len, data), len);
		IS(rbd_read(image, 777, len, back), len);
		OK(memcmp(data, back, len));
		memset(back, 0, len);
		OK(rbd_aio_create_completion(NULL, NULL, &c));
		OK(rbd_aio_readv(image, iov, 2, 777, c));
		OK(rbd_aio_wait_for_complete(c));
		IS(rbd_aio_get_return_value(c), len);
		rbd_aio_release(c);
		OK(memcmp(data, back, len));
		IS(rbd_read(image, SIZE - len, len, back), len);
		memcpy(back, data, len);
		if (len <= 4096) {
			back[0] = (char)~data[0];
			IS(rbd_compare_and_write(image, 777, len, back, data, &mismatch, 0), -EILSEQ);
		}
		free(data);
		free(back);
	}
}

/* Memory of the library in a list, given back one by one. */
static void listed(void)
{
	size_t max = 1024;
	rbd_image_spec_t *specs = calloc(max, sizeof(*specs));
	bool found = false;
	OK(rbd_list2(io, specs, &max));
	for (size_t i = 0; i < max; i++) {
		found |= strcmp(specs[i].name, name) == 0;
		rbd_image_spec_cleanup(&specs[i]);
	}
	TRUE(found);
	free(specs);
}

static void opened_and_closed(void)
{
	char id[64];
	rbd_image_t image;
	OK(rbd_open(io, name, &image, NULL));
	OK(rbd_get_id(image, id, sizeof(id)));
	OK(rbd_close(image));
	for (int i = 0; i < 10; i++) {
		char data[100] = { 0 };
		rbd_completion_t c;
		OK(i % 2 ? rbd_open_by_id(io, id, &image, NULL) : rbd_open_read_only(io, name, &image, NULL));
		OK(rbd_aio_create_completion(NULL, NULL, &c));
		OK(i % 2 ? rbd_aio_write(image, 0, sizeof(data), data, c) : rbd_aio_read(image, 0, sizeof(data), data, c));
		/* Closing waits for it; the completion outlives the image. */
		OK(rbd_close(image));
		TRUE(rbd_aio_get_return_value(c) >= 0);
		rbd_aio_release(c);
		IS(rbd_close(image), -EBADF);
	}
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
	make_handles(io, name, SIZE, ORDER, &image, &closed, &completion);
	described(NULL, -EINVAL), changed(NULL, image, -EINVAL), started(NULL, -EINVAL);
	described(closed, -EBADF), changed(closed, image, -EBADF), started(closed, -EBADF);
	described(completion, -EBADF), changed(completion, image, -EBADF), started(completion, -EBADF);
	null_pointers(image);
	bad_options();
	too_small(image);
	listed();
	rbd_aio_release(completion);
	OK(rbd_close(image));
	opened_and_closed();
	OK(rbd_remove(io, name));
	return finish(cluster, io);
}
