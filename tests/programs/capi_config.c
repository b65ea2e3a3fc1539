/* capi_config POOL NAME: what a pool and an image have beside data: settings, limits on I/O, features, statistics, upkeep. */
#include "capi.h"
#include <time.h>

enum { SIZE = 8 << 20, BLOCK = 4096, MOST = 256 };

static rados_ioctx_t io;
static rbd_image_t image;
static const char *name;
static char buffer[SIZE];

/* What holds, and who says so; of a pool where `of` is null. */
static int setting(rbd_image_t of, const char *option, char *value)
{
	rbd_config_option_t options[MOST];
	int count = 0, source = -1;
	IS(of ? rbd_config_image_list(of, options, &count) : rbd_config_pool_list(io, options, &count), -ERANGE);
	TRUE(count > 70 && count <= MOST);
	OK(of ? rbd_config_image_list(of, options, &count) : rbd_config_pool_list(io, options, &count));
	for (int i = 0; i < count; i++)
		if (!strcmp(options[i].name, option)) {
			strcpy(value, options[i].value);
			source = options[i].source;
		}
	if (of)
		rbd_config_image_list_cleanup(options, count);
	else
		rbd_config_pool_list_cleanup(options, count);
	return source;
}

static void what_holds(void)
{
	char value[256];
	IS(setting(image, "rbd_readahead_max_bytes", value), RBD_CONFIG_SOURCE_CONFIG);
	IS(strcmp(value, "524288"), 0);
	IS(setting(image, "rbd_default_order", value), -1);
	IS(setting(NULL, "rbd_default_order", value), RBD_CONFIG_SOURCE_CONFIG);
	/* Only one that nothing else looks at: other programs work in this pool. */
	OK(rbd_pool_metadata_set(io, "conf_rbd_readahead_trigger_requests", "11"));
	IS(setting(NULL, "rbd_readahead_trigger_requests", value), RBD_CONFIG_SOURCE_POOL);
	IS(strcmp(value, "11"), 0);
	IS(setting(image, "rbd_readahead_trigger_requests", value), RBD_CONFIG_SOURCE_POOL);
	OK(rbd_metadata_set(image, "conf_rbd_readahead_trigger_requests", "12"));
	IS(setting(image, "rbd_readahead_trigger_requests", value), RBD_CONFIG_SOURCE_IMAGE);
	IS(strcmp(value, "12"), 0);
	OK(rbd_metadata_remove(image, "conf_rbd_readahead_trigger_requests"));
	OK(rbd_pool_metadata_remove(io, "conf_rbd_readahead_trigger_requests"));
	IS(setting(image, "rbd_readahead_trigger_requests", value), RBD_CONFIG_SOURCE_CONFIG);
	IS(rbd_metadata_set(image, "conf_rbd_default_order", "22"), -EINVAL);
	IS(rbd_metadata_set(image, "conf_rbd_qos_iops_limit", "many"), -EINVAL);
}

static double seconds_of_writes(int writes)
{
	struct timespec from, to;
	clock_gettime(CLOCK_MONOTONIC, &from);
	for (int i = 0; i < writes; i++)
		IS(rbd_write(image, (uint64_t)(i % 16) * BLOCK, BLOCK, buffer), BLOCK);
	clock_gettime(CLOCK_MONOTONIC, &to);
	return (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
}

static void limits(void)
{
	OK(rbd_metadata_set(image, "conf_rbd_qos_write_iops_limit", "100"));
	/* 300 take three seconds, and one second's worth may have been kept. */
	double took = seconds_of_writes(300);
	if (took < 1.8) {
		fprintf(stderr, "300 writes took %f s with a limit of 100 in a second\n", took);
		failures++;
	}
	OK(rbd_metadata_remove(image, "conf_rbd_qos_write_iops_limit"));
	/* What waits for a limit does not keep the image from being closed. */
	OK(rbd_metadata_set(image, "conf_rbd_qos_iops_limit", "1"));
	rbd_completion_t completions[32];
	for (int i = 0; i < 32; i++) {
		OK(rbd_aio_create_completion(NULL, NULL, &completions[i]));
		OK(rbd_aio_write(image, (uint64_t)i * BLOCK, BLOCK, buffer, completions[i]));
	}
	time_t began = time(NULL);
	OK(rbd_close(image));
	TRUE(getenv("LSD_OWN") == NULL || time(NULL) - began < 20);
	for (int i = 0; i < 32; i++) {
		OK(rbd_aio_wait_for_complete(completions[i]));
		rbd_aio_release(completions[i]);
	}
	OK(rbd_open(io, name, &image, NULL));
	OK(rbd_metadata_remove(image, "conf_rbd_qos_iops_limit"));
}

/* As Cinder does it for a volume that several clients use. */
static void features(void)
{
	const uint64_t single = RBD_FEATURE_JOURNALING | RBD_FEATURE_FAST_DIFF | RBD_FEATURE_OBJECT_MAP |
				RBD_FEATURE_EXCLUSIVE_LOCK;
	uint64_t before, after;
	OK(rbd_get_features(image, &before));
	OK(rbd_update_features(image, single & before, 0));
	OK(rbd_get_features(image, &after));
	IS(after, before & ~single);
	OK(rbd_update_features(image, single, 1));
	OK(rbd_get_features(image, &after));
	IS(after, before | single);
	IS(rbd_update_features(image, RBD_FEATURE_EXCLUSIVE_LOCK, 0), -EINVAL);
	IS(rbd_update_features(image, RBD_FEATURE_JOURNALING, 1), -EINVAL);
	OK(rbd_update_features(image, RBD_FEATURE_JOURNALING, 0));
	IS(rbd_update_features(image, RBD_FEATURE_LAYERING, 0), -EINVAL);
	IS(rbd_update_features(image, 1ULL << 40, 1), -EINVAL);
}

static void upkeep(void)
{
	int calls = 0;
	memset(buffer, 0, SIZE);
	IS(rbd_write(image, 0, SIZE, buffer), SIZE);
	fill(buffer, BLOCK, 7);
	IS(rbd_write(image, 1 << 20, BLOCK, buffer), BLOCK);
	IS(rbd_sparsify(image, 100), -EINVAL);
	IS(rbd_sparsify(image, 64 << 20), -EINVAL);
	OK(rbd_sparsify_with_progress(image, BLOCK, note_progress, &calls));
	TRUE(calls > 0);
	OK(rbd_sparsify(image, BLOCK));
	char back[BLOCK];
	IS(rbd_read(image, 1 << 20, BLOCK, back), BLOCK);
	IS(memcmp(back, buffer, BLOCK), 0);
	OK(rbd_rebuild_object_map(image, note_progress, &calls));
	OK(rbd_update_features(image, RBD_FEATURE_OBJECT_MAP | RBD_FEATURE_FAST_DIFF, 0));
	IS(rbd_rebuild_object_map(image, note_progress, &calls), -EINVAL);
	rbd_image_t reader;
	OK(rbd_open_read_only(io, name, &reader, NULL));
	IS(rbd_sparsify(reader, BLOCK), -EROFS);
	IS(rbd_rebuild_object_map(reader, note_progress, &calls), -EROFS);
	OK(rbd_close(reader));
}

static void statistics(void)
{
	uint64_t images = 0, bytes = 0, snapshots = 0, most = 0, trash = 77;
	rbd_pool_stats_t stats;
	rbd_pool_stats_create(&stats);
	OK(rbd_pool_stats_option_add_uint64(stats, RBD_POOL_STAT_OPTION_IMAGES, &images));
	OK(rbd_pool_stats_option_add_uint64(stats, RBD_POOL_STAT_OPTION_IMAGE_PROVISIONED_BYTES, &bytes));
	OK(rbd_pool_stats_option_add_uint64(stats, RBD_POOL_STAT_OPTION_IMAGE_MAX_PROVISIONED_BYTES, &most));
	OK(rbd_pool_stats_option_add_uint64(stats, RBD_POOL_STAT_OPTION_IMAGE_SNAPSHOTS, &snapshots));
	OK(rbd_pool_stats_option_add_uint64(stats, RBD_POOL_STAT_OPTION_TRASH_IMAGES, &trash));
	IS(rbd_pool_stats_option_add_uint64(stats, 99, &trash), -ENOENT);
	OK(rbd_snap_create(image, "s"));
	OK(rbd_pool_stats_get(io, stats));
	/* Others work in this pool. */
	TRUE(images >= 1 && snapshots >= 1 && bytes >= SIZE && most >= bytes && trash != 77);
	rbd_pool_stats_destroy(stats);
	OK(rbd_snap_remove(image, "s"));
}

int main(int argc, char **argv)
{
	rados_t cluster;
	int order = 22;
	if (argc != 3)
		return 2;
	name = argv[2];
	io = open_pool(&cluster, argv[1]);
	OK(rbd_create2(io, name, SIZE,
		       RBD_FEATURE_LAYERING | RBD_FEATURE_EXCLUSIVE_LOCK | RBD_FEATURE_OBJECT_MAP | RBD_FEATURE_FAST_DIFF,
		       &order));
	if (rbd_open(io, name, &image, NULL) < 0)
		return 2;
	what_holds();
	limits();
	features();
	upkeep();
	statistics();
	OK(rbd_close(image));
	OK(rbd_remove(io, name));
	return finish(cluster, io);
}
