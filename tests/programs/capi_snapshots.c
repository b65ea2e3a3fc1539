/* capi_snapshots POOL NAME: snapshots, handles that show one, and what librbd answers in which order. Everything holds on stock
 * librbd too, but for what is checked only with LSD_OWN set. */
#include "capi.h"
#include <time.h>

enum { SIZE = 16 << 20, OBJECT = 4 << 20, LEN = 100 };

static rados_ioctx_t io;
static const char *name;
static bool own;

static void put(rbd_image_t image, uint64_t at, char value)
{
	char data[LEN];
	memset(data, value, LEN);
	IS(rbd_write(image, at, LEN, data), LEN);
}

static void expect(rbd_image_t image, uint64_t at, char value)
{
	char back[LEN];
	IS(rbd_read(image, at, LEN, back), LEN);
	TRUE(all(back, LEN, value));
}

static uint64_t size_of(rbd_image_t image)
{
	uint64_t size = 1;
	OK(rbd_get_size(image, &size));
	return size;
}

static uint64_t id_of(rbd_image_t image, const char *snap)
{
	uint64_t id = 0;
	OK(rbd_snap_get_id(image, snap, &id));
	return id;
}

/* The names, each with a comma behind it; the sizes in `sizes`. */
static void expect_list(rbd_image_t image, const char *names, const uint64_t *sizes)
{
	rbd_snap_info_t snaps[8];
	char found[256] = "";
	int max = 8, count = rbd_snap_list(image, snaps, &max);
	IS(max, 8);
	TRUE(count >= 0);
	for (int i = 0; i < count; i++) {
		strcat(strcat(found, snaps[i].name), ",");
		TRUE(i == 0 || snaps[i - 1].id < snaps[i].id);
		IS(snaps[i].size, sizes[i]);
		IS(snaps[i].id, id_of(image, snaps[i].name));
	}
	if (strcmp(found, names))
		fprintf(stderr, "%s instead of %s\n", found, names);
	TRUE(!strcmp(found, names));
	if (count < 0)
		return;
	TRUE(!snaps[count].name && !snaps[count].id && !snaps[count].size);
	rbd_snap_list_end(snaps);
}

static void creating_and_listing(rbd_image_t image)
{
	rbd_snap_info_t snaps[4];
	int max = 0, told = 0;
	expect_list(image, "", NULL);
	IS(rbd_snap_list(image, snaps, &max), -ERANGE);
	IS(max, 1);
	OK(rbd_snap_create(image, "one"));
	IS(rbd_snap_create(image, "one"), -EEXIST);
	OK(rbd_snap_create2(image, "two", RBD_SNAP_CREATE_SKIP_QUIESCE, note_progress, &told));
	OK(rbd_snap_create2(image, "three", RBD_SNAP_CREATE_IGNORE_QUIESCE_ERROR, note_progress, &told));
	IS(rbd_snap_create2(image, "four", 3, NULL, NULL), -EINVAL);
	IS(rbd_snap_create2(image, "four", 4, NULL, NULL), -EINVAL);
	IS(rbd_snap_create2(image, "one", 4, NULL, NULL), -EINVAL);
	max = 3;
	IS(rbd_snap_list(image, snaps, &max), -ERANGE);
	IS(max, 4);
	IS(rbd_snap_list(image, snaps, &max), 3);
	rbd_snap_list_end(snaps);
	expect_list(image, "one,two,three,", (uint64_t[]){ SIZE, SIZE, SIZE });
	if (own) /* stock librbd leaves such names to its callers */
		for (const char *const *bad = (const char *const[]){ "", "a@b", "a/b", NULL }; *bad; bad++) {
			IS(rbd_snap_create(image, *bad), -EINVAL);
			IS(rbd_snap_rename(image, "one", *bad), -EINVAL);
		}
}

static void describing(rbd_image_t image)
{
	uint64_t id = id_of(image, "two");
	char text[8];
	size_t len = 3;
	bool exists = false;
	struct timespec when;
	rbd_snap_namespace_type_t type = 77;
	IS(rbd_snap_get_name(image, id, text, &len), -ERANGE);
	IS(len, 4);
	OK(rbd_snap_get_name(image, id, text, &len));
	TRUE(!strcmp(text, "two"));
	IS(len, 4);
	OK(rbd_snap_get_timestamp(image, id, &when));
	TRUE(labs(when.tv_sec - time(NULL)) < 600 && when.tv_nsec < 1000000000);
	OK(rbd_snap_get_namespace_type(image, id, &type));
	IS(type, RBD_SNAP_NAMESPACE_TYPE_USER);
	OK(rbd_snap_exists(image, "two", &exists));
	TRUE(exists);
	OK(rbd_snap_exists(image, "none", &exists));
	TRUE(!exists);
	IS(rbd_snap_get_id(image, "none", &id), -ENOENT);
	IS(id, (uint64_t)-2);
}

static void renaming_and_protecting(rbd_image_t image)
{
	int protected = 9;
	OK(rbd_snap_rename(image, "three", "3"));
	IS(rbd_snap_rename(image, "three", "3"), -ENOENT);
	IS(rbd_snap_rename(image, "3", "3"), -EEXIST);
	IS(rbd_snap_rename(image, "3", "two"), -EEXIST);
	OK(rbd_snap_is_protected(image, "3", &protected));
	IS(protected, 0);
	IS(rbd_snap_is_protected(image, "none", &protected), -ENOENT);
	IS(rbd_snap_protect(image, "none"), -ENOENT);
	IS(rbd_snap_unprotect(image, "none"), -ENOENT);
	IS(rbd_snap_unprotect(image, "3"), -EINVAL);
	OK(rbd_snap_protect(image, "3"));
	IS(rbd_snap_protect(image, "3"), -EBUSY);
	OK(rbd_snap_is_protected(image, "3", &protected));
	IS(protected, 1);
	IS(rbd_snap_remove(image, "3"), -EBUSY);
	IS(rbd_snap_remove_by_id(image, id_of(image, "3")), -EBUSY);
	IS(rbd_snap_remove2(image, "3", 0, NULL, NULL), -EBUSY);
	IS(rbd_snap_remove2(image, "3", RBD_SNAP_REMOVE_FLATTEN, NULL, NULL), -EBUSY);
	IS(rbd_snap_remove2(image, "3", 32, NULL, NULL), -EBUSY);
	OK(rbd_snap_rename(image, "3", "drei"));
	OK(rbd_snap_unprotect(image, "drei"));
	OK(rbd_snap_protect(image, "drei"));
	expect_list(image, "one,two,drei,", (uint64_t[]){ SIZE, SIZE, SIZE });
	OK(rbd_snap_remove2(image, "drei", RBD_SNAP_REMOVE_UNPROTECT, NULL, NULL));
	OK(rbd_snap_remove2(image, "two", RBD_SNAP_REMOVE_FORCE | 32, NULL, NULL));
	IS(rbd_snap_remove2(image, "two", RBD_SNAP_REMOVE_FORCE, NULL, NULL), -ENOENT);
	IS(rbd_snap_remove(image, "two"), -ENOENT);
	IS(rbd_snap_remove_by_id(image, 9999), -ENOENT);
	OK(rbd_snap_remove_by_id(image, id_of(image, "one")));
	expect_list(image, "", NULL);
}

static void limits(rbd_image_t image)
{
	uint64_t limit = 0;
	OK(rbd_snap_get_limit(image, &limit));
	IS(limit, UINT64_MAX);
	OK(rbd_snap_create(image, "a"));
	OK(rbd_snap_create(image, "b"));
	IS(rbd_snap_set_limit(image, 0), -ERANGE);
	IS(rbd_snap_set_limit(image, 1), -ERANGE);
	OK(rbd_snap_set_limit(image, 2));
	OK(rbd_snap_get_limit(image, &limit));
	IS(limit, 2);
	IS(rbd_snap_create(image, "c"), -EDQUOT);
	IS(rbd_snap_create(image, "b"), -EEXIST);
	OK(rbd_snap_remove(image, "a"));
	OK(rbd_snap_create(image, "c"));
	OK(rbd_snap_set_limit(image, UINT64_MAX));
	OK(rbd_snap_get_limit(image, &limit));
	IS(limit, UINT64_MAX);
	OK(rbd_snap_remove(image, "b"));
	OK(rbd_snap_remove(image, "c"));
}

static void changed(void *arg)
{
	__atomic_add_fetch((int *)arg, 1, __ATOMIC_SEQ_CST);
}

static void expect_news(int *calls)
{
	for (int i = 0; i < 500 && !__atomic_load_n(calls, __ATOMIC_SEQ_CST); i++)
		usleep(10000);
	TRUE(__atomic_load_n(calls, __ATOMIC_SEQ_CST) > 0);
	usleep(100000);
	__atomic_store_n(calls, 0, __ATOMIC_SEQ_CST);
}

/* The one who changes hears of it, and so does another handle that does not own the image. */
static void watching(rbd_image_t image)
{
	rbd_image_t other;
	uint64_t handle, others;
	int calls = 0, others_calls = 0;
	put(image, 0, 'w');
	OK(rbd_open(io, name, &other, NULL));
	OK(rbd_update_watch(image, &handle, changed, &calls));
	OK(rbd_update_watch(other, &others, changed, &others_calls));
	OK(rbd_snap_create(image, "w"));
	expect_news(&calls), expect_news(&others_calls);
	OK(rbd_snap_protect(image, "w"));
	expect_news(&calls), expect_news(&others_calls);
	OK(rbd_snap_rename(image, "w", "v"));
	expect_news(&calls), expect_news(&others_calls);
	OK(rbd_snap_set(image, "v"));
	usleep(300000);
	IS(calls + others_calls, 0);
	OK(rbd_snap_set(image, NULL));
	OK(rbd_snap_unprotect(image, "v"));
	expect_news(&calls), expect_news(&others_calls);
	OK(rbd_snap_remove(other, "v"));
	expect_news(&calls), expect_news(&others_calls);
	OK(rbd_update_unwatch(image, handle));
	OK(rbd_update_unwatch(other, others));
	OK(rbd_close(other));
}

static int add_extent(uint64_t offset, size_t len, int exists, void *arg)
{
	(void)offset;
	IS(exists, 1);
	*(uint64_t *)arg += len;
	return 0;
}

/* What a handle that shows "one" of SIZE refuses, whatever the image has become since. */
static void expect_read_only(rbd_image_t image)
{
	char data[LEN] = "";
	uint64_t number;
	int owner = 7;
	IS(rbd_write(image, 0, LEN, data), -EROFS);
	IS(rbd_write(image, 0, 0, data), -EROFS);
	IS(rbd_write(image, SIZE, LEN, data), -EINVAL);
	IS(rbd_discard(image, 0, OBJECT), -EROFS);
	IS(rbd_discard(image, SIZE, OBJECT), -EINVAL);
	IS(rbd_write_zeroes(image, 0, LEN, 0, 0), -EROFS);
	IS(rbd_writesame(image, 0, LEN, data, LEN, 0), -EROFS);
	IS(rbd_compare_and_write(image, 0, LEN, data, data, &number, 0), -EROFS);
	OK(rbd_flush(image));
	OK(rbd_invalidate_cache(image));
	IS(rbd_resize(image, SIZE / 2), -EROFS);
	IS(rbd_resize(image, 3 * SIZE), -EROFS);
	IS(rbd_resize2(image, 1, false, NULL, NULL), -EROFS);
	IS(rbd_metadata_set(image, "k", "v"), -EROFS);
	IS(rbd_update_features(image, RBD_FEATURE_FAST_DIFF | RBD_FEATURE_OBJECT_MAP, 0), -EROFS);
	IS(rbd_snap_rollback(image, "one"), -EROFS);
	OK(rbd_is_exclusive_lock_owner(image, &owner));
	IS(owner, 0);
	IS(rbd_lock_acquire(image, RBD_LOCK_MODE_EXCLUSIVE), -EINVAL);
	IS(rbd_lock_release(image), -EINVAL);

	rbd_completion_t c;
	OK(rbd_aio_create_completion(NULL, NULL, &c));
	OK(rbd_aio_write(image, 0, LEN, data, c));
	OK(rbd_aio_wait_for_complete(c));
	IS(rbd_aio_get_return_value(c), -EROFS);
	rbd_aio_release(c);
	OK(rbd_aio_create_completion(NULL, NULL, &c));
	OK(rbd_aio_read(image, 0, LEN, data, c));
	OK(rbd_aio_wait_for_complete(c));
	IS(rbd_aio_get_return_value(c), LEN);
	TRUE(all(data, LEN, 'a'));
	rbd_aio_release(c);
}

static void expect_shown(rbd_image_t image)
{
	rbd_image_info_t info;
	uint64_t number = 9, sum = 0;
	char back[LEN];
	IS(size_of(image), SIZE);
	OK(rbd_stat(image, &info, sizeof(info)));
	IS(info.size, SIZE);
	IS(info.num_objs, SIZE / OBJECT);
	OK(rbd_get_flags(image, &number));
	IS(number, 0);
	OK(rbd_get_features(image, &number));
	TRUE(number & RBD_FEATURE_LAYERING);
	OK(rbd_get_overlap(image, &number));
	IS(number, 0);
	expect(image, 0, 'a');
	expect(image, SIZE - LEN, 0);
	IS(rbd_read(image, SIZE - 10, LEN, back), 10);
	IS(rbd_read(image, SIZE, LEN, back), -EINVAL);
	OK(rbd_diff_iterate2(image, NULL, 0, 2 * SIZE, 1, 0, add_extent, &sum));
	IS(sum, LEN);
	sum = 0;
	OK(rbd_diff_iterate2(image, NULL, 0, SIZE, 1, 1, add_extent, &sum));
	IS(sum, OBJECT);
	OK(rbd_diff_iterate2(image, "one", 0, SIZE, 1, 0, add_extent, &sum));
	IS(sum, OBJECT);
	IS(rbd_diff_iterate2(image, "big", 0, SIZE, 1, 0, add_extent, &sum), -EINVAL);
	IS(rbd_diff_iterate2(image, "none", 0, SIZE, 1, 0, add_extent, &sum), -ENOENT);
	size_t pools = 0, images = 0, links = 1;
	rbd_linked_image_spec_t link;
	IS(rbd_list_children(image, NULL, &pools, NULL, &images), 0);
	OK(rbd_list_children3(image, &link, &links));
	IS(links, 0);
}

/* The image is twice as large as "one", and has other data. */
static void expect_head(rbd_image_t image)
{
	rbd_image_info_t info;
	IS(size_of(image), 2 * SIZE);
	OK(rbd_stat(image, &info, sizeof(info)));
	IS(info.num_objs, 2 * SIZE / OBJECT);
	expect(image, 0, 'b');
	expect(image, SIZE - LEN, 'b');
}

static void showing(rbd_image_t image)
{
	int owner = 0;
	OK(rbd_resize(image, 0));
	OK(rbd_resize(image, SIZE));
	put(image, 0, 'a');
	OK(rbd_snap_create(image, "one"));
	put(image, 0, 'b');
	put(image, SIZE - LEN, 'b');
	OK(rbd_resize(image, 2 * SIZE));
	OK(rbd_snap_create(image, "big"));
	IS(rbd_snap_set(image, "none"), -ENOENT);
	IS(rbd_snap_set_by_id(image, 9999), -ENOENT);
	IS(rbd_snap_set_by_id(image, 0), -ENOENT);
	expect_head(image);

	OK(rbd_snap_set(image, "one"));
	expect_shown(image);
	expect_read_only(image);
	IS(rbd_snap_set(image, "none"), -ENOENT);
	expect(image, 0, 'a');
	OK(rbd_snap_set(image, "big"));
	expect_head(image);
	OK(rbd_snap_set(image, ""));
	expect_head(image);
	OK(rbd_snap_set_by_id(image, id_of(image, "one")));
	expect_shown(image);
	OK(rbd_snap_set_by_id(image, (uint64_t)-2));
	expect_head(image);
	put(image, 0, 'b');
	OK(rbd_is_exclusive_lock_owner(image, &owner));
	IS(owner, 1);
}

/* Snapshots are those of the image, whatever the handle shows. */
static void changing_snapshots_from_one(rbd_image_t image)
{
	OK(rbd_snap_set(image, "one"));
	OK(rbd_snap_create(image, "later"));
	OK(rbd_snap_rename(image, "one", "uno"));
	expect_list(image, "uno,big,later,", (uint64_t[]){ SIZE, 2 * SIZE, 2 * SIZE });
	expect(image, 0, 'a');
	IS(rbd_snap_set(image, "one"), -ENOENT);
	expect(image, 0, 'a');
	OK(rbd_snap_protect(image, "uno"));
	OK(rbd_snap_unprotect(image, "uno"));
	OK(rbd_snap_set_limit(image, 10));
	OK(rbd_snap_set_limit(image, UINT64_MAX));
	OK(rbd_snap_remove(image, "later"));
	OK(rbd_snap_rename(image, "uno", "one"));
	OK(rbd_snap_set(image, NULL));
}

static void copying(rbd_image_t image)
{
	rbd_image_t copy;
	OK(rbd_metadata_set(image, "k", "value"));
	OK(rbd_snap_set(image, "one"));
	OK(rbd_copy(image, io, "capi-snap-copy"));
	OK(rbd_open(io, "capi-snap-copy", &copy, NULL));
	IS(size_of(copy), SIZE);
	expect(copy, 0, 'a');
	expect(copy, SIZE - LEN, 0);
	expect_list(copy, "", NULL);
	char value[16];
	size_t len = sizeof(value);
	OK(rbd_metadata_get(copy, "k", value, &len));
	put(copy, 0, 'c');
	OK(rbd_copy2(image, copy));
	expect(copy, 0, 'a');
	OK(rbd_snap_create(copy, "s"));
	OK(rbd_snap_set(copy, "s"));
	IS(rbd_copy2(image, copy), -EROFS);
	OK(rbd_snap_set(copy, NULL));
	OK(rbd_snap_remove(copy, "s"));
	OK(rbd_close(copy));
	OK(rbd_remove(io, "capi-snap-copy"));
	OK(rbd_snap_set(image, NULL));
}

/* A snapshot that is removed while a handle shows it; one of the same name is another one. */
static void removing_what_is_shown(rbd_image_t image)
{
	rbd_image_info_t info;
	uint64_t number;
	char data[LEN] = "";
	OK(rbd_snap_create(image, "brief"));
	OK(rbd_snap_set(image, "brief"));
	expect(image, 0, 'b');
	OK(rbd_snap_remove(image, "brief"));
	for (int again = 0; again < 2; again++) {
		IS(rbd_read(image, 0, LEN, data), -ENOENT);
		IS(rbd_read(image, 0, 0, data), -ENOENT);
		IS(rbd_read(image, 2 * SIZE, 1, data), -ENOENT);
		IS(rbd_write(image, 0, LEN, data), -ENOENT);
		IS(size_of(image), 0);
		OK(rbd_stat(image, &info, sizeof(info)));
		IS(info.size, 0);
		IS(info.num_objs, 0);
		IS(rbd_get_flags(image, &number), -ENOENT);
		IS(rbd_get_overlap(image, &number), -ENOENT);
		IS(rbd_diff_iterate2(image, NULL, 0, SIZE, 1, 0, add_extent, &number), -ENOENT);
		OK(rbd_flush(image));
		OK(rbd_invalidate_cache(image));
		IS(rbd_resize(image, SIZE), -EROFS);
		IS(rbd_snap_rollback(image, "one"), -ENOENT);
		IS(rbd_snap_set(image, "none"), -ENOENT);
		if (own) /* stock librbd makes an empty copy */
			IS(rbd_copy(image, io, "capi-snap-copy"), -ENOENT);
		if (!again)
			OK(rbd_snap_create(image, "brief"));
	}
	OK(rbd_snap_set(image, NULL));
	expect_head(image);
	put(image, 0, 'b');
	OK(rbd_snap_remove(image, "brief"));

	/* By another client. */
	rbd_image_t other;
	OK(rbd_snap_create(image, "brief"));
	OK(rbd_open(io, name, &other, "brief"));
	expect(other, 0, 'b');
	OK(rbd_snap_remove(image, "brief"));
	int result = LEN;
	for (int i = 0; i < 500 && result == LEN; i++, usleep(10000))
		result = rbd_read(other, 0, LEN, data);
	IS(result, -ENOENT);
	OK(rbd_snap_set(other, NULL));
	expect(other, 0, 'b');
	OK(rbd_close(other));
}

static void rolling_back(rbd_image_t image)
{
	int told = 0;
	IS(rbd_snap_rollback(image, "none"), -ENOENT);
	OK(rbd_snap_create(image, "before"));
	OK(rbd_snap_rollback_with_progress(image, "one", note_progress, &told));
	TRUE(told > 0);
	IS(size_of(image), SIZE);
	expect(image, 0, 'a');
	expect(image, SIZE - LEN, 0);
	put(image, 0, 'r');
	OK(rbd_snap_rollback(image, "before"));
	expect_head(image);
	put(image, 0, 'b');
	OK(rbd_snap_remove(image, "before"));
	if (own) { /* stock librbd stops half-way */
		IS(rbd_snap_rollback_with_progress(image, "one", cancel_progress, NULL), -ECANCELED);
		expect_head(image);
	}
}

static void expect_snapshot(rbd_image_t image)
{
	expect_shown(image);
	IS(rbd_write(image, 0, 1, "x"), -EROFS);
}

static void opening(rbd_image_t image)
{
	rbd_image_t opened;
	char id[64];
	OK(rbd_get_id(image, id, sizeof(id)));
	IS(rbd_open(io, name, &opened, "none"), -ENOENT);
	IS(rbd_open_read_only(io, name, &opened, "none"), -ENOENT);
	IS(rbd_open_by_id(io, id, &opened, "none"), -ENOENT);
	IS(rbd_open_by_id_read_only(io, id, &opened, "none"), -ENOENT);
	OK(rbd_open_by_id(io, id, &opened, "one"));
	expect_snapshot(opened);
	OK(rbd_close(opened));
	OK(rbd_open_by_id_read_only(io, id, &opened, "one"));
	expect_snapshot(opened);
	OK(rbd_close(opened));

	int (*const open[])(rados_ioctx_t, const char *, rbd_image_t *, const char *, rbd_completion_t) = {
		rbd_aio_open, rbd_aio_open_read_only, rbd_aio_open_by_id, rbd_aio_open_by_id_read_only
	};
	for (int i = 0; i < 8; i++) {
		rbd_completion_t c;
		OK(rbd_aio_create_completion(NULL, NULL, &c));
		OK(open[i / 2](io, i < 4 ? name : id, &opened, i % 2 ? "one" : "none", c));
		OK(rbd_aio_wait_for_complete(c));
		IS(rbd_aio_get_return_value(c), i % 2 ? 0 : -ENOENT);
		rbd_aio_release(c);
		if (i % 2) {
			expect_snapshot(opened);
			OK(rbd_close(opened));
		}
	}

	/* A handle that is not read-only can go to the head and write there. It watches the image. */
	rbd_image_watcher_t watchers[4];
	size_t max = 4;
	OK(rbd_open(io, name, &opened, "one"));
	expect_snapshot(opened);
	OK(rbd_watchers_list(image, watchers, &max));
	IS(max, 2);
	rbd_watchers_list_cleanup(watchers, max);
	OK(rbd_snap_create(opened, "two"));
	expect_list(image, "one,big,two,", (uint64_t[]){ SIZE, 2 * SIZE, 2 * SIZE });
	OK(rbd_snap_set(opened, NULL));
	IS(size_of(opened), 2 * SIZE);
	put(opened, 0, 'b');
	OK(rbd_snap_set(opened, "two"));
	OK(rbd_close(opened));
	OK(rbd_snap_remove(image, "two"));
}

static void read_only_handles(rbd_image_t image)
{
	rbd_image_t opened;
	rbd_image_watcher_t watchers[4];
	size_t max = 4;
	OK(rbd_flush(image));
	OK(rbd_open_read_only(io, name, &opened, "one"));
	OK(rbd_watchers_list(image, watchers, &max));
	IS(max, 1);
	rbd_watchers_list_cleanup(watchers, max);
	for (int head = 0; head < 2; head++) {
		IS(rbd_write(opened, 0, 1, "x"), -EROFS);
		IS(rbd_snap_create(opened, "new"), -EROFS);
		IS(rbd_snap_create(opened, "one"), -EROFS);
		IS(rbd_snap_create2(opened, "new", 8, NULL, NULL), -EINVAL);
		IS(rbd_snap_remove(opened, "one"), -EROFS);
		IS(rbd_snap_remove(opened, "none"), -ENOENT);
		IS(rbd_snap_remove2(opened, "one", RBD_SNAP_REMOVE_FORCE, NULL, NULL), -EROFS);
		IS(rbd_snap_remove2(opened, "none", RBD_SNAP_REMOVE_FORCE, NULL, NULL), -ENOENT);
		IS(rbd_snap_remove_by_id(opened, id_of(opened, "one")), -EROFS);
		IS(rbd_snap_remove_by_id(opened, 9999), -ENOENT);
		IS(rbd_snap_rename(opened, "one", "1"), -EROFS);
		IS(rbd_snap_rename(opened, "none", "1"), -EROFS);
		IS(rbd_snap_protect(opened, "one"), -EROFS);
		IS(rbd_snap_protect(opened, "none"), -EROFS);
		IS(rbd_snap_unprotect(opened, "one"), -EROFS);
		IS(rbd_snap_unprotect(opened, "none"), -EROFS);
		IS(rbd_snap_set_limit(opened, 1), -EROFS);
		IS(rbd_snap_rollback(opened, "one"), -EROFS);
		IS(rbd_snap_rollback(opened, "none"), -EROFS);
		expect_list(opened, "one,big,", (uint64_t[]){ SIZE, 2 * SIZE });
		IS(size_of(opened), head ? 2 * SIZE : SIZE);
		expect(opened, 0, head ? 'b' : 'a');
		OK(rbd_snap_set(opened, NULL));
	}
	OK(rbd_snap_set(opened, "one"));
	expect_snapshot(opened);
	OK(rbd_close(opened));
}

/* An image with snapshots stays, whoever has it open. */
static void removing_the_image(rbd_image_t image)
{
	rbd_image_t opened;
	int told = 0;
	IS(rbd_remove(io, name), -ENOTEMPTY);
	OK(rbd_snap_protect(image, "one"));
	OK(rbd_close(image));
	IS(rbd_remove_with_progress(io, name, note_progress, &told), -ENOTEMPTY);
	IS(told, 0);
	OK(rbd_open_read_only(io, name, &opened, "one"));
	IS(rbd_remove(io, name), -ENOTEMPTY);
	expect_snapshot(opened);
	OK(rbd_close(opened));
	OK(rbd_open(io, name, &opened, NULL));
	expect_list(opened, "one,big,", (uint64_t[]){ SIZE, 2 * SIZE });
	OK(rbd_snap_remove2(opened, "one", RBD_SNAP_REMOVE_FORCE, NULL, NULL));
	OK(rbd_snap_remove(opened, "big"));
	IS(rbd_remove(io, name), -EBUSY);
	OK(rbd_close(opened));
	OK(rbd_remove(io, name));
}

/* Protection is for clones. */
static void without_layering(void)
{
	rbd_image_t image;
	int order = 0;
	OK(rbd_create2(io, name, SIZE, 0, &order));
	OK(rbd_open(io, name, &image, NULL));
	OK(rbd_snap_create(image, "one"));
	IS(rbd_snap_protect(image, "one"), -ENOSYS);
	IS(rbd_snap_protect(image, "none"), -ENOSYS);
	IS(rbd_snap_unprotect(image, "one"), -EINVAL);
	put(image, 0, 'n');
	OK(rbd_snap_set(image, "one"));
	expect(image, 0, 0);
	OK(rbd_snap_remove(image, "one"));
	OK(rbd_snap_set(image, NULL));
	expect(image, 0, 'n');
	OK(rbd_close(image));
	OK(rbd_remove(io, name));
}

struct seen {
	uint64_t data, holes, end;
};

static int add_change(uint64_t offset, size_t len, int exists, void *arg)
{
	struct seen *seen = arg;
	if (offset < seen->end)
		return -EDOM;
	seen->end = offset + len;
	*(exists ? &seen->data : &seen->holes) += len;
	return 0;
}

/* Byte-exact in objects that are written in whole blocks. */
static void expect_changes(rbd_image_t image, const char *from, uint64_t data, uint64_t holes)
{
	struct seen seen = {0};
	OK(rbd_diff_iterate2(image, from, 0, SIZE, 1, 0, add_change, &seen));
	IS(seen.data, data);
	IS(seen.holes, holes);
}

static void differences(void)
{
	enum { OBJECT = 4 << 20, BLOCK = 4096 };
	static char block[BLOCK];
	rbd_image_t image;
	int order = 22;
	memset(block, 'd', sizeof(block));
	OK(rbd_create2(io, name, SIZE, RBD_FEATURES_DEFAULT, &order));
	OK(rbd_open(io, name, &image, NULL));
	for (int i = 0; i < 4; i++)
		IS(rbd_write(image, i * BLOCK, BLOCK, block), BLOCK);
	OK(rbd_snap_create(image, "a"));
	expect_changes(image, "a", 0, 0);
	expect_changes(image, NULL, 4 * BLOCK, 0);
	memset(block, 'e', sizeof(block));
	IS(rbd_write(image, BLOCK, BLOCK, block), BLOCK);
	IS(rbd_write(image, OBJECT, BLOCK, block), BLOCK);
	OK(rbd_snap_create(image, "b"));
	IS(rbd_discard(image, OBJECT, OBJECT), OBJECT);
	expect_changes(image, "b", 0, BLOCK);
	expect_changes(image, "a", BLOCK, 0);
	struct seen seen = {0};
	OK(rbd_diff_iterate(image, "a", 0, SIZE, add_change, &seen));
	IS(seen.data, BLOCK);
	seen = (struct seen){0};
	OK(rbd_snap_set(image, "b"));
	expect_changes(image, "a", 2 * BLOCK, 0);
	OK(rbd_diff_iterate2(image, "a", 0, SIZE, 1, 1, add_change, &seen));
	IS(seen.data, 2 * OBJECT);
	seen = (struct seen){0};
	OK(rbd_diff_iterate2(image, "a", OBJECT, BLOCK, 1, 0, add_change, &seen));
	IS(seen.data, BLOCK);
	OK(rbd_snap_set(image, NULL));
	OK(rbd_snap_remove(image, "a"));
	OK(rbd_snap_remove(image, "b"));
	OK(rbd_close(image));
	OK(rbd_remove(io, name));
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
	OK(rbd_create2(io, name, SIZE, RBD_FEATURES_DEFAULT, &order));
	if (rbd_open(io, name, &image, NULL) < 0)
		return 2;
	creating_and_listing(image);
	describing(image);
	renaming_and_protecting(image);
	limits(image);
	watching(image);
	showing(image);
	changing_snapshots_from_one(image);
	copying(image);
	removing_what_is_shown(image);
	rolling_back(image);
	opening(image);
	read_only_handles(image);
	removing_the_image(image);
	without_layering();
	differences();
	return finish(cluster, io);
}
