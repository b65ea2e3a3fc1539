/* capi_rules POOL NAME: the rules of the synchronous API that clients rely on. They hold on stock librbd too,
 * which is how they were made sure of; what stock 16.2.15 gets wrong is checked only with LSD_OWN set. */
#include "capi.h"
#include <time.h>

enum { SIZE = 32 << 20, OBJECT = 4 << 20 };

static rados_ioctx_t io;
static const char *name;
static bool own;

static void creation(void)
{
	int order = 0;
	OK(rbd_create2(io, name, SIZE, RBD_FEATURE_LAYERING | RBD_FEATURE_EXCLUSIVE_LOCK, &order));
	IS(order, 22);
	IS(rbd_create2(io, name, SIZE, RBD_FEATURE_LAYERING, &order), -EEXIST);
	order = 11;
	IS(rbd_create2(io, "capi-bad", SIZE, RBD_FEATURE_LAYERING, &order), -EDOM);
	order = 26;
	IS(rbd_create2(io, "capi-bad", SIZE, RBD_FEATURE_LAYERING, &order), -EDOM);
	order = 22;
	IS(rbd_create3(io, "capi-bad", SIZE, RBD_FEATURE_LAYERING, &order, 3 << 20, 1), -EINVAL);
	IS(rbd_create3(io, "capi-bad", SIZE, RBD_FEATURE_LAYERING, &order, 1 << 20, 0), -EINVAL);
	IS(rbd_create3(io, "capi-bad", SIZE, RBD_FEATURE_LAYERING, &order, 8 << 20, 2), -EINVAL);
	IS(rbd_create2(io, "capi-bad", SIZE, 1ULL << 40, &order), -ENOSYS);
	IS(rbd_remove(io, "capi-bad"), -ENOENT);
	IS(rbd_rename(io, "capi-bad", "capi-worse"), -ENOENT);
	char long_name[2043];
	memset(long_name, 'n', sizeof(long_name));
	long_name[2042] = 0;
	IS(rbd_create2(io, long_name, SIZE, RBD_FEATURE_LAYERING, &order), -ENAMETOOLONG);
	IS(rbd_rename(io, name, long_name), -ENAMETOOLONG);
	long_name[2041] = 0;
	OK(rbd_create2(io, long_name, SIZE, RBD_FEATURE_LAYERING, &order));
	OK(rbd_remove(io, long_name));
}

/* What a new image has of the features that were asked for: fast-diff comes with object-map and not without it. */
static void new_features(void)
{
	static const uint64_t asked[][2] = {{12, 28}, {13, 29}, {16, 0}, {20, 4}, {61, 61}, {77, 93}, {256, 0}, {1024, 0}};
	for (size_t i = 0; i < sizeof(asked) / sizeof(*asked); i++) {
		rbd_image_t image;
		uint64_t features = 999;
		int order = 0;
		OK(rbd_create2(io, "capi-features", SIZE, asked[i][0], &order));
		OK(rbd_open(io, "capi-features", &image, NULL));
		OK(rbd_get_features(image, &features));
		IS(features, asked[i][1]);
		OK(rbd_close(image));
		OK(rbd_remove(io, "capi-features"));
	}
}

static void options(void)
{
	rbd_image_options_t opts;
	uint64_t number = 0;
	bool set = true;
	char text[8];

	rbd_image_options_create(&opts);
	IS(rbd_image_options_is_empty(opts), 1);
	IS(rbd_image_options_get_uint64(opts, RBD_IMAGE_OPTION_ORDER, &number), -ENOENT);
	OK(rbd_image_options_set_uint64(opts, RBD_IMAGE_OPTION_ORDER, 20));
	OK(rbd_image_options_get_uint64(opts, RBD_IMAGE_OPTION_ORDER, &number));
	IS(number, 20);
	IS(rbd_image_options_set_string(opts, RBD_IMAGE_OPTION_ORDER, "20"), -EINVAL);
	IS(rbd_image_options_set_uint64(opts, RBD_IMAGE_OPTION_DATA_POOL, 1), -EINVAL);
	IS(rbd_image_options_set_uint64(opts, 1000, 1), -EINVAL);
	IS(rbd_image_options_unset(opts, 1000), -EINVAL);
	IS(rbd_image_options_is_set(opts, 1000, &set), -EINVAL);
	OK(rbd_image_options_is_set(opts, RBD_IMAGE_OPTION_FEATURES, &set));
	TRUE(!set);
	OK(rbd_image_options_set_string(opts, RBD_IMAGE_OPTION_JOURNAL_POOL, "a-pool-name"));
	IS(rbd_image_options_get_string(opts, RBD_IMAGE_OPTION_JOURNAL_POOL, text, sizeof(text)), -E2BIG);
	IS(rbd_image_options_is_empty(opts), 0);
	OK(rbd_image_options_unset(opts, RBD_IMAGE_OPTION_ORDER));
	IS(rbd_image_options_unset(opts, RBD_IMAGE_OPTION_ORDER), -ENOENT);
	rbd_image_options_clear(opts);
	IS(rbd_image_options_is_empty(opts), 1);

	OK(rbd_image_options_set_uint64(opts, RBD_IMAGE_OPTION_ORDER, 26));
	IS(rbd_create4(io, "capi-bad", SIZE, opts), -EDOM);
	OK(rbd_image_options_set_uint64(opts, RBD_IMAGE_OPTION_ORDER, 20));
	OK(rbd_image_options_set_string(opts, RBD_IMAGE_OPTION_DATA_POOL, "no-such-pool"));
	IS(rbd_create4(io, "capi-bad", SIZE, opts), -ENOENT);
	OK(rbd_image_options_unset(opts, RBD_IMAGE_OPTION_DATA_POOL));
	OK(rbd_image_options_set_uint64(opts, RBD_IMAGE_OPTION_STRIPE_UNIT, 65536));
	OK(rbd_image_options_set_uint64(opts, RBD_IMAGE_OPTION_STRIPE_COUNT, 4));
	OK(rbd_create4(io, "capi-striped", SIZE, opts));
	rbd_image_options_destroy(opts);

	rbd_image_t image;
	OK(rbd_open(io, "capi-striped", &image, NULL));
	OK(rbd_get_stripe_unit(image, &number));
	IS(number, 65536);
	OK(rbd_get_stripe_count(image, &number));
	IS(number, 4);
	OK(rbd_get_features(image, &number));
	TRUE(number & RBD_FEATURE_STRIPINGV2);
	OK(rbd_close(image));
	OK(rbd_remove(io, "capi-striped"));
}

static void reading_and_writing(rbd_image_t image)
{
	static char data[SIZE], back[SIZE];
	fill(data, sizeof(data), 1);
	memset(back, 'x', sizeof(back));

	IS(rbd_write(image, 0, 0, data), 0);
	IS(rbd_read(image, 0, 0, back), 0);
	IS(rbd_write(image, SIZE, 0, data), 0);
	IS(rbd_read(image, SIZE, 1, back), -EINVAL);
	IS(rbd_write(image, SIZE, 1, data), -EINVAL);
	IS(rbd_discard(image, SIZE, 1), -EINVAL);
	IS(rbd_read(image, SIZE - 10, 100, back), 10);
	TRUE(all(back, 10, 0));
	IS(back[10], 'x');
	IS(rbd_write(image, SIZE - 10, 100, data), 10);
	IS(rbd_read(image, SIZE - 10, 10, back), 10);
	TRUE(!memcmp(back, data, 10));
	IS(rbd_write(image, 1000001, 3000003, data), 3000003);
	IS(rbd_read(image, 1000001, 3000003, back), 3000003);
	TRUE(!memcmp(back, data, 3000003));
	IS(rbd_write2(image, 0, 4096, data, LIBRADOS_OP_FLAG_FADVISE_FUA), 4096);
	IS(rbd_read2(image, 0, 4096, back, LIBRADOS_OP_FLAG_FADVISE_DONTNEED), 4096);
	TRUE(!memcmp(back, data, 4096));
	OK(rbd_flush(image));
	OK(rbd_invalidate_cache(image));
	IS(rbd_read(image, 1000001, 3000003, back), 3000003);
	TRUE(!memcmp(back, data, 3000003));
}

static void discarding(rbd_image_t image)
{
	static char data[OBJECT], back[OBJECT];
	memset(data, 'd', sizeof(data));
	uint64_t start = 4 * OBJECT;
	IS(rbd_write(image, start, OBJECT, data), OBJECT);
	/* Less than the granularity of 64 KiB: nothing happens. */
	IS(rbd_discard(image, start, 4096), 4096);
	IS(rbd_read(image, start, 4096, back), 4096);
	TRUE(all(back, 4096, 'd'));
	/* Rounded inwards. */
	IS(rbd_discard(image, start + 1, 200000), 200000);
	IS(rbd_read(image, start, OBJECT, back), OBJECT);
	TRUE(all(back, 65536, 'd') && all(back + 65536, 131072, 0) && all(back + 196608, OBJECT - 196608, 'd'));
	IS(rbd_discard(image, start, OBJECT), OBJECT);
	IS(rbd_read(image, start, OBJECT, back), OBJECT);
	TRUE(all(back, OBJECT, 0));
	IS(rbd_discard(image, 0, 1ULL << 31), -EINVAL);

	IS(rbd_write(image, start, 1000, data), 1000);
	IS(rbd_write_zeroes(image, start + 10, 100, 0, 0), 100);
	IS(rbd_write_zeroes(image, start + 500, 100, RBD_WRITE_ZEROES_FLAG_THICK_PROVISION, 0), 100);
	IS(rbd_write_zeroes(image, start, 10, 4, 0), -EINVAL);
	IS(rbd_read(image, start, 1000, back), 1000);
	TRUE(all(back, 10, 'd') && all(back + 10, 100, 0) && all(back + 110, 390, 'd'));
	TRUE(all(back + 500, 100, 0) && all(back + 600, 400, 'd'));
}

static void writing_patterns(rbd_image_t image)
{
	static char pattern[512], other[512], back[8192];
	fill(pattern, sizeof(pattern), 9);
	memset(other, 'o', sizeof(other));
	uint64_t at = 6 * OBJECT, mismatch = 77;
	IS(rbd_writesame(image, at, 4096, pattern, 512, 0), 4096);
	IS(rbd_read(image, at, 8192, back), 8192);
	for (int i = 0; i < 8; i++)
		TRUE(!memcmp(back + i * 512, pattern, 512));
	TRUE(all(back + 4096, 4096, 0));
	IS(rbd_writesame(image, at, 4095, pattern, 512, 0), -EINVAL);
	IS(rbd_writesame(image, at, 4096, pattern, 0, 0), -EINVAL);
	IS(rbd_writesame(image, SIZE, 512, pattern, 512, 0), -EINVAL);

	/* Offsets of mismatches: from the start of the range. */
	IS(rbd_compare_and_write(image, at + 512, 512, pattern, other, &mismatch, 0), 512);
	IS(mismatch, 77);
	IS(rbd_read(image, at + 512, 512, back), 512);
	TRUE(all(back, 512, 'o'));
	memcpy(back, other, 512);
	back[5] = 'x';
	IS(rbd_compare_and_write(image, 512, 512, back, other, NULL, 0), -EILSEQ);
	IS(rbd_write(image, 0, 512, other), 512);
	IS(rbd_compare_and_write(image, 0, 512, back, pattern, &mismatch, 0), -EILSEQ);
	IS(mismatch, 5);
	IS(rbd_read(image, 0, 512, back), 512);
	TRUE(all(back, 512, 'o'));
	/* Two objects. */
	IS(rbd_compare_and_write(image, OBJECT - 256, 512, other, other, &mismatch, 0), -EINVAL);
	IS(rbd_compare_and_write(image, SIZE, 512, other, other, &mismatch, 0), -EINVAL);
}

static int count_reads(uint64_t offset, size_t len, const char *data, void *arg)
{
	uint64_t *total = arg;
	IS(offset, *total);
	TRUE(data != NULL);
	*total += len;
	return 0;
}

static int refuse_read(uint64_t offset, size_t len, const char *data, void *arg)
{
	(void)offset, (void)len, (void)data, (void)arg;
	return -EXDEV;
}

static int count_extents(uint64_t offset, size_t len, int exists, void *arg)
{
	uint64_t *sum = arg;
	IS(exists, 1);
	sum[0] += len;
	sum[1]++;
	TRUE(offset + len <= SIZE);
	return 0;
}

static int refuse_extent(uint64_t offset, size_t len, int exists, void *arg)
{
	(void)offset, (void)len, (void)exists, (void)arg;
	return -EXDEV;
}

static void iterating(rbd_image_t image)
{
	static char data[OBJECT];
	uint64_t total = 0, sum[2] = { 0, 0 };
	OK(rbd_resize(image, 0));
	OK(rbd_resize(image, SIZE));
	IS(rbd_read_iterate(image, 5, SIZE, count_reads, &total), SIZE - 5);
	IS(total, SIZE - 5);
	total = 0;
	IS(rbd_read_iterate2(image, 0, 1000, count_reads, &total), 0);
	IS(rbd_read_iterate2(image, 0, 1000, refuse_read, NULL), -EXDEV);

	OK(rbd_diff_iterate2(image, NULL, 0, SIZE, 1, 0, count_extents, sum));
	IS(sum[0], 0);
	memset(data, 'e', sizeof(data));
	IS(rbd_write(image, OBJECT + 100, 256, data), 256);
	IS(rbd_write(image, 3 * OBJECT - 100, 200, data), 200);
	OK(rbd_flush(image));
	OK(rbd_diff_iterate2(image, NULL, 0, SIZE, 1, 0, count_extents, sum));
	if (own) /* stock 16.2.15 also reports the first object, which the resize removed */
		IS(sum[0], 456);
	sum[0] = sum[1] = 0;
	OK(rbd_diff_iterate2(image, NULL, 0, SIZE, 1, 1, count_extents, sum));
	IS(sum[0], 3 * OBJECT);
	IS(sum[1], 3);
	sum[0] = sum[1] = 0;
	OK(rbd_diff_iterate2(image, NULL, OBJECT + 200, 100, 1, 0, count_extents, sum));
	IS(sum[0], 100);
	IS(rbd_diff_iterate2(image, NULL, 0, SIZE, 1, 0, refuse_extent, sum), -EXDEV);
	IS(rbd_diff_iterate2(image, "no-such-snapshot", 0, SIZE, 1, 0, count_extents, sum), -ENOENT);
	OK(rbd_diff_iterate2(image, NULL, 0, 0, 1, 0, refuse_extent, sum));
}

static void describing(rbd_image_t image)
{
	rbd_image_info_t info;
	uint64_t number = 1;
	uint8_t old = 9;
	char text[64];
	size_t len = 2;
	struct timespec created;

	memset(&info, 0xff, sizeof(info));
	OK(rbd_stat(image, &info, sizeof(info)));
	IS(info.size, SIZE);
	IS(info.obj_size, OBJECT);
	IS(info.num_objs, SIZE / OBJECT);
	IS(info.order, 22);
	IS(info.parent_pool, -1);
	IS(info.parent_name[0], 0);
	OK(rbd_get_old_format(image, &old));
	IS(old, 0);
	OK(rbd_get_overlap(image, &number));
	IS(number, 0);
	OK(rbd_get_op_features(image, &number));
	IS(number, 0);
	IS(rbd_get_id(image, text, 1), -ERANGE);
	OK(rbd_get_id(image, text, sizeof(text)));
	IS(rbd_get_name(image, text, &len), -ERANGE);
	IS(len, strlen(name) + 1);
	len = sizeof(text);
	OK(rbd_get_name(image, text, &len));
	IS(strcmp(text, name), 0);
	IS(rbd_get_block_name_prefix(image, text, 1), -ERANGE);
	OK(rbd_get_block_name_prefix(image, text, sizeof(text)));
	IS(rbd_get_data_pool_id(image), rados_ioctx_get_id(io));
	OK(rbd_get_create_timestamp(image, &created));
	TRUE(labs(created.tv_sec - time(NULL)) < 600);
	IS(rbd_get_parent_info(image, text, sizeof(text), text, sizeof(text), text, sizeof(text)), -ENOENT);

	rbd_snap_info_t snaps[2];
	int max = 0;
	IS(rbd_snap_list(image, snaps, &max), -ERANGE);
	IS(max, 1);
	IS(rbd_snap_list(image, snaps, &max), 0);
	rbd_snap_list_end(snaps);
	bool exists = true;
	OK(rbd_snap_exists(image, "none", &exists));
	TRUE(!exists);
	IS(rbd_snap_set(image, "none"), -ENOENT);
	OK(rbd_snap_set(image, NULL));
	int protected;
	IS(rbd_snap_is_protected(image, "none", &protected), -ENOENT);
}

static void metadata(rbd_image_t image)
{
	char value[16], keys[64], values[64];
	size_t len = sizeof(value), key_len, value_len;
	IS(rbd_metadata_get(image, "k", value, &len), -ENOENT);
	OK(rbd_metadata_set(image, "k", "value"));
	OK(rbd_metadata_set(image, "l", "other"));
	len = 5;
	IS(rbd_metadata_get(image, "k", value, &len), -ERANGE);
	IS(len, 6);
	OK(rbd_metadata_get(image, "k", value, &len));
	IS(strcmp(value, "value"), 0);
	key_len = value_len = 3;
	IS(rbd_metadata_list(image, "", 0, keys, &key_len, values, &value_len), -ERANGE);
	IS(key_len, 4);
	IS(value_len, 12);
	key_len = sizeof(keys), value_len = sizeof(values);
	OK(rbd_metadata_list(image, "", 0, keys, &key_len, values, &value_len));
	IS(memcmp(keys, "k\0l", 4), 0);
	IS(memcmp(values, "value\0other", 12), 0);
	key_len = sizeof(keys), value_len = sizeof(values);
	OK(rbd_metadata_list(image, "k", 1, keys, &key_len, values, &value_len));
	IS(key_len, 2);
	IS(strcmp(keys, "l"), 0);
	OK(rbd_metadata_remove(image, "k"));
	IS(rbd_metadata_remove(image, "no-such-key"), -ENOENT);
}

/* Metadata that overrides a setting is checked as one. */
static void overrides(rbd_image_t image)
{
	char value[64];
	size_t len = sizeof(value);
	IS(rbd_metadata_set(image, "conf_rbd_cache", "perhaps"), -EINVAL);
	IS(rbd_metadata_set(image, "conf_rbd_cache_size", "-1"), -EINVAL);
	IS(rbd_metadata_set(image, "conf_rbd_cache_policy", "none"), -EINVAL);
	IS(rbd_metadata_set(image, "conf_rbd_default_order", "22"), -EINVAL);
	IS(rbd_metadata_set(image, "conf_no_such_setting", "1"), -EINVAL);
	IS(rbd_metadata_get(image, "conf_rbd_cache", value, &len), -ENOENT);
	OK(rbd_metadata_set(image, "conf_rbd_cache", "FALSE"));
	OK(rbd_metadata_set(image, "conf_rbd_cache_size", "64K"));
	OK(rbd_metadata_set(image, "conf_rbd_qos_iops_limit", "0"));
	OK(rbd_metadata_set(image, "conf_", "any"));
	OK(rbd_metadata_remove(image, "conf_rbd_cache"));
	OK(rbd_metadata_remove(image, "conf_rbd_cache_size"));
	OK(rbd_metadata_remove(image, "conf_rbd_qos_iops_limit"));
	OK(rbd_metadata_remove(image, "conf_"));
}

static void pool_metadata(void)
{
	char key[64], value[64], keys[4096], values[4096];
	size_t len = 2, key_len = 0, value_len = 0;
	snprintf(key, sizeof(key), "capi-rules-%d", (int)getpid());
	IS(rbd_pool_metadata_get(io, key, value, &len), -ENOENT);
	IS(rbd_pool_metadata_set(io, "conf_rbd_cache", "perhaps"), -EINVAL);
	IS(rbd_pool_metadata_set(io, "conf_no_such_setting", "1"), -EINVAL);
	OK(rbd_pool_metadata_set(io, key, "value"));
	IS(rbd_pool_metadata_get(io, key, value, &len), -ERANGE);
	IS(len, 6);
	len = sizeof(value);
	OK(rbd_pool_metadata_get(io, key, value, &len));
	IS(strcmp(value, "value"), 0);
	IS(rbd_pool_metadata_list(io, "", 0, keys, &key_len, values, &value_len), -ERANGE);
	TRUE(key_len > strlen(key) && value_len >= 6);
	key_len = sizeof(keys), value_len = sizeof(values);
	OK(rbd_pool_metadata_list(io, "capi-rules-", 1, keys, &key_len, values, &value_len));
	IS(strncmp(keys, "capi-rules-", 11), 0);
	OK(rbd_pool_metadata_remove(io, key));
	IS(rbd_pool_metadata_remove(io, key), -ENOENT);
}

static int count_progress(uint64_t offset, uint64_t total, void *arg)
{
	(*(int *)arg)++;
	TRUE(offset <= total);
	return 0;
}

static void resizing_and_copying(rbd_image_t image)
{
	static char data[65536], back[65536];
	uint64_t size;
	int told = 0;
	fill(data, sizeof(data), 5);
	IS(rbd_resize2(image, SIZE / 2, false, count_progress, &told), -EINVAL);
	IS(told, 0);
	IS(rbd_write(image, SIZE - 65536, 65536, data), 65536);
	OK(rbd_resize2(image, SIZE / 2, true, count_progress, &told));
	TRUE(told > 0);
	OK(rbd_get_size(image, &size));
	IS(size, SIZE / 2);
	IS(rbd_read(image, SIZE / 2, 1, back), -EINVAL);
	told = 0;
	OK(rbd_resize_with_progress(image, SIZE, count_progress, &told));
	IS(told, 0);
	IS(rbd_read(image, SIZE - 65536, 65536, back), 65536);
	TRUE(all(back, 65536, 0));

	IS(rbd_write(image, 123456, 65536, data), 65536);
	told = 0;
	OK(rbd_copy_with_progress(image, io, "capi-copy", count_progress, &told));
	TRUE(told > 0);
	IS(rbd_copy(image, io, "capi-copy"), -EEXIST);
	rbd_image_t copy;
	OK(rbd_open_read_only(io, "capi-copy", &copy, NULL));
	OK(rbd_get_size(copy, &size));
	IS(size, SIZE);
	IS(rbd_read(copy, 123456, 65536, back), 65536);
	TRUE(!memcmp(back, data, 65536));
	size_t len = sizeof(back);
	OK(rbd_metadata_get(copy, "l", back, &len));
	IS(rbd_write(copy, 0, 1, data), -EROFS);
	IS(rbd_discard(copy, 0, OBJECT), -EROFS);
	IS(rbd_write_zeroes(copy, 0, 1, 0, 0), -EROFS);
	IS(rbd_resize(copy, SIZE / 2), -EROFS);
	IS(rbd_metadata_set(copy, "k", "v"), -EROFS);
	IS(rbd_write(copy, SIZE, 1, data), -EINVAL);
	OK(rbd_flush(copy));
	OK(rbd_close(copy));
	OK(rbd_remove_with_progress(io, "capi-copy", count_progress, &told));
}

static void listing(void)
{
	char names[256];
	size_t size = 1;
	IS(rbd_list(io, names, &size), -ERANGE);
	TRUE(size > strlen(name));
	size = sizeof(names);
	TRUE(rbd_list(io, names, &size) > 0);
	rbd_image_spec_t specs[64];
	size_t max = 0;
	IS(rbd_list2(io, specs, &max), -ERANGE);
	TRUE(max >= 1);
	max = 64;
	OK(rbd_list2(io, specs, &max));
	bool found = false;
	for (size_t i = 0; i < max; i++)
		found |= !strcmp(specs[i].name, name) && strlen(specs[i].id) > 0;
	TRUE(found);
	rbd_image_spec_list_cleanup(specs, max);
}

static void opening(void)
{
	rbd_image_t image, by_id;
	rbd_image_watcher_t watchers[4];
	char id[64];
	size_t max = 4;
	IS(rbd_open(io, "no-such-image", &image, NULL), -ENOENT);
	IS(rbd_open_read_only(io, "no-such-image", &image, NULL), -ENOENT);
	IS(rbd_open_by_id(io, "0123456789abcdef", &image, NULL), -ENOENT);
	IS(rbd_open(io, name, &image, "no-such-snapshot"), -ENOENT);
	OK(rbd_open(io, name, &image, ""));
	OK(rbd_get_id(image, id, sizeof(id)));
	OK(rbd_open_by_id_read_only(io, id, &by_id, NULL));
	OK(rbd_close(by_id));
	OK(rbd_watchers_list(image, watchers, &max));
	IS(max, 1);
	rbd_watchers_list_cleanup(watchers, max);
	max = 0;
	IS(rbd_watchers_list(image, watchers, &max), -ERANGE);
	IS(max, 1);
	IS(rbd_remove(io, name), -EBUSY);
	OK(rbd_close(image));
}

static void namespaces(void)
{
	char names[64];
	size_t size = sizeof(names);
	bool exists = true;
	OK(rbd_namespace_exists(io, "capi-ns", &exists));
	TRUE(!exists);
	IS(rbd_namespace_create(io, ""), -EINVAL);
	OK(rbd_namespace_create(io, "capi-ns"));
	IS(rbd_namespace_create(io, "capi-ns"), -EEXIST);
	OK(rbd_namespace_exists(io, "capi-ns", &exists));
	TRUE(exists);
	TRUE(rbd_namespace_list(io, names, &size) >= 8);
	rados_ioctx_set_namespace(io, "capi-ns");
	int order = 0;
	OK(rbd_create(io, "inside", SIZE, &order));
	IS(rbd_namespace_remove(io, "capi-ns"), -EBUSY);
	OK(rbd_remove(io, "inside"));
	rados_ioctx_set_namespace(io, "");
	OK(rbd_namespace_remove(io, "capi-ns"));
	IS(rbd_namespace_remove(io, "capi-ns"), -ENOENT);
	OK(rbd_pool_init(io, false));
}

static void features(void)
{
	char text[128];
	size_t size = 4;
	uint64_t bits;
	IS(rbd_features_to_string(RBD_FEATURES_DEFAULT, text, &size), -ERANGE);
	TRUE(size > 4 && size <= sizeof(text));
	OK(rbd_features_to_string(RBD_FEATURES_DEFAULT, text, &size));
	IS(strcmp(text, "deep-flatten,exclusive-lock,fast-diff,layering,object-map"), 0);
	OK(rbd_features_from_string(text, &bits));
	IS(bits, RBD_FEATURES_DEFAULT);
	IS(rbd_features_from_string("nonsense", &bits), -EINVAL);
}

int main(int argc, char **argv)
{
	rados_t cluster;
	rbd_image_t image;
	if (argc != 3)
		return 2;
	own = getenv("LSD_OWN") != NULL;
	name = argv[2];
	io = open_pool(&cluster, argv[1]);
	features();
	creation();
	new_features();
	options();
	listing();
	opening();
	if (rbd_open(io, name, &image, NULL) < 0)
		return 2;
	reading_and_writing(image);
	discarding(image);
	writing_patterns(image);
	describing(image);
	metadata(image);
	overrides(image);
	pool_metadata();
	iterating(image);
	resizing_and_copying(image);
	OK(rbd_close(image));
	namespaces();
	OK(rbd_rename(io, name, "capi-renamed"));
	OK(rbd_remove(io, "capi-renamed"));
	return finish(cluster, io);
}
