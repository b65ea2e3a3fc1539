/* capi_groups POOL NAME: groups of images, and snapshots of all of them at one moment. Everything holds on stock librbd too, but for
 * what is checked only with LSD_OWN set. */
#include "capi.h"

#include <dlfcn.h>

enum { SIZE = 4 << 20, BLOCK = 4096, IMAGES = 3, MOST = 8 };

static rados_ioctx_t io;
static int64_t pool;
static bool own;
static char images[IMAGES][200], group[200], other[200];

/* The names of a group's images, with a space behind each. */
static const char *members(const char *of)
{
	static char text[1000];
	rbd_group_image_info_t found[MOST];
	size_t count = MOST;
	text[0] = 0;
	int listed = rbd_group_image_list(io, of, found, sizeof(found[0]), &count);
	IS(listed, (int)count);
	for (size_t i = 0; i < count; i++) {
		IS(found[i].pool, pool);
		if (found[i].state == RBD_GROUP_IMAGE_STATE_ATTACHED)
			strcat(strcat(text, found[i].name), " ");
	}
	OK(rbd_group_image_list_cleanup(found, sizeof(found[0]), count));
	return text;
}

static size_t member_count(const char *of)
{
	size_t count = 0;
	for (const char *at = members(of); *at; at++)
		count += *at == ' ';
	return count;
}

static bool has_snap(const char *wanted)
{
	rbd_group_snap_info_t found[MOST];
	size_t count = MOST;
	bool has = false;
	int listed = rbd_group_snap_list(io, group, found, sizeof(found[0]), &count);
	IS(listed, (int)count);
	for (size_t i = 0; i < count; i++)
		has = has || (!strcmp(found[i].name, wanted) && found[i].state == RBD_GROUP_SNAP_STATE_COMPLETE);
	OK(rbd_group_snap_list_cleanup(found, sizeof(found[0]), count));
	return has;
}

static bool is_listed(const char *wanted)
{
	char names[4096];
	size_t size = sizeof(names);
	int used = rbd_group_list(io, names, &size);
	for (int at = 0; at < used; at += strlen(names + at) + 1)
		if (!strcmp(names + at, wanted))
			return true;
	return false;
}

static void groups_come_and_go(void)
{
	OK(rbd_group_create(io, group));
	OK(rbd_group_create(io, other));
	IS(rbd_group_create(io, group), -EEXIST);
	IS(rbd_group_create(io, ""), -EINVAL);
	TRUE(is_listed(group) && is_listed(other));
	char names[4];
	size_t size = 1;
	IS(rbd_group_list(io, names, &size), -ERANGE);
	TRUE(size >= strlen(group) + strlen(other) + 2);
	IS(rbd_group_rename(io, group, other), -EEXIST);
	IS(rbd_group_rename(io, group, group), -EEXIST);
	IS(rbd_group_rename(io, "no such group", "x"), -ENOENT);
	IS(rbd_group_rename(io, group, ""), -EINVAL);
	char renamed[300];
	snprintf(renamed, sizeof(renamed), "%s-renamed", group);
	OK(rbd_group_rename(io, group, renamed));
	TRUE(is_listed(renamed) && !is_listed(group));
	OK(rbd_group_rename(io, renamed, group));
	/* One that is not there is no error. */
	OK(rbd_group_remove(io, "no such group"));
}

static void the_image_knows_its_group(const char *image_name, const char *wanted)
{
	rbd_image_t image;
	rbd_group_info_t info;
	uint64_t features, op_features;
	OK(rbd_open_read_only(io, image_name, &image, NULL));
	OK(rbd_get_group(image, &info, sizeof(info)));
	IS(strcmp(info.name, wanted), 0);
	IS(info.pool, *wanted ? pool : -1);
	OK(rbd_group_info_cleanup(&info, sizeof(info)));
	OK(rbd_get_op_features(image, &op_features));
	IS(!!(op_features & RBD_OPERATION_FEATURE_GROUP), *wanted != 0);
	OK(rbd_get_features(image, &features));
	IS(!!(features & RBD_FEATURE_OPERATIONS), *wanted != 0);
	OK(rbd_close(image));
}

static void images_are_in_one_group(void)
{
	the_image_knows_its_group(images[0], "");
	for (int i = 0; i < IMAGES; i++)
		OK(rbd_group_image_add(io, group, io, images[i]));
	OK(rbd_group_image_add(io, group, io, images[0]));
	IS(rbd_group_image_add(io, other, io, images[0]), -EEXIST);
	IS(rbd_group_image_add(io, group, io, "no such image"), -ENOENT);
	IS(rbd_group_image_add(io, "no such group", io, images[0]), -ENOENT);
	IS(member_count(group), IMAGES);
	the_image_knows_its_group(images[0], group);
	rbd_group_image_info_t found[MOST];
	size_t count = 1;
	IS(rbd_group_image_list(io, group, found, sizeof(found[0]), &count), -ERANGE);
	IS(count, IMAGES);
	IS(rbd_group_image_list(io, group, found, sizeof(found[0]) - 1, &count), -ERANGE);
	IS(rbd_group_image_list_cleanup(found, sizeof(found[0]) - 1, 0), -ERANGE);
	count = MOST;
	IS(rbd_group_image_list(io, "no such group", found, sizeof(found[0]), &count), 0);
	IS(count, 0);
	IS(rbd_remove(io, images[0]), -EMLINK);
	IS(rbd_group_image_remove(io, other, io, images[0]), -EBADF);
	IS(rbd_group_image_remove(io, group, io, "no such image"), -ENOENT);
	IS(rbd_group_image_remove(io, "no such group", io, images[0]), -ENOENT);
	OK(rbd_group_image_remove(io, group, io, images[0]));
	OK(rbd_group_image_remove(io, group, io, images[0]));
	IS(member_count(group), IMAGES - 1);
	the_image_knows_its_group(images[0], "");
	OK(rbd_group_image_add(io, group, io, images[0]));
	char id[64];
	rbd_image_t image;
	OK(rbd_open_read_only(io, images[0], &image, NULL));
	OK(rbd_get_id(image, id, sizeof(id)));
	OK(rbd_close(image));
	/* An image in the trash stays in the group, and is not listed. Stock lists none of the others either. */
	OK(rbd_trash_move(io, images[0], 0));
	if (own)
		IS(member_count(group), IMAGES - 1);
	IS(rbd_trash_remove(io, id, true), -EMLINK);
	OK(rbd_trash_restore(io, id, images[0]));
	IS(member_count(group), IMAGES);
	OK(rbd_group_image_remove_by_id(io, group, io, id));
	OK(rbd_group_image_remove_by_id(io, group, io, "nosuchid"));
	OK(rbd_group_image_add(io, group, io, images[0]));
}

static void put_all(char value)
{
	static char block[BLOCK];
	memset(block, value, BLOCK);
	for (int i = 0; i < IMAGES; i++) {
		rbd_image_t image;
		OK(rbd_open(io, images[i], &image, NULL));
		IS(rbd_write(image, 0, BLOCK, block), BLOCK);
		OK(rbd_close(image));
	}
}

static void all_have(char value)
{
	static char block[BLOCK];
	for (int i = 0; i < IMAGES; i++) {
		rbd_image_t image;
		OK(rbd_open_read_only(io, images[i], &image, NULL));
		IS(rbd_read(image, 0, BLOCK, block), BLOCK);
		TRUE(all(block, BLOCK, value));
		OK(rbd_close(image));
	}
}

static int calls;

static int progress(uint64_t done, uint64_t total, void *arg)
{
	(void)arg;
	calls++;
	return done <= total ? 0 : -EDOM;
}

static void snapshots_come_and_go(void)
{
	put_all('a');
	OK(rbd_group_snap_create(io, group, "one"));
	put_all('b');
	OK(rbd_group_snap_create2(io, group, "two", RBD_SNAP_CREATE_SKIP_QUIESCE));
	IS(rbd_group_snap_create(io, group, "one"), -EEXIST);
	IS(rbd_group_snap_create(io, group, ""), -EINVAL);
	IS(rbd_group_snap_create(io, "no such group", "one"), -ENOENT);
	IS(rbd_group_snap_create2(io, group, "x",
				  RBD_SNAP_CREATE_SKIP_QUIESCE | RBD_SNAP_CREATE_IGNORE_QUIESCE_ERROR),
	   -EINVAL);
	IS(rbd_group_snap_create2(io, group, "x", 8), -EINVAL);
	TRUE(has_snap("one") && has_snap("two") && !has_snap("x"));
	rbd_group_snap_info_t found[MOST];
	size_t count = 1;
	IS(rbd_group_snap_list(io, group, found, sizeof(found[0]), &count), -ERANGE);
	IS(count, 2);
	IS(rbd_group_snap_list(io, group, found, sizeof(found[0]) + 1, &count), -ERANGE);
	IS(rbd_group_snap_list_cleanup(found, sizeof(found[0]) + 1, 0), -ERANGE);
	count = MOST;
	IS(rbd_group_snap_list(io, "no such group", found, sizeof(found[0]), &count), 0);
	IS(count, 0);
	IS(rbd_group_snap_rename(io, group, "one", "two"), -EEXIST);
	IS(rbd_group_snap_rename(io, group, "one", "one"), -EEXIST);
	IS(rbd_group_snap_rename(io, group, "one", ""), -EINVAL);
	IS(rbd_group_snap_rename(io, group, "none", "x"), -ENOENT);
	IS(rbd_group_snap_rename(io, "no such group", "one", "x"), -ENOENT);
	OK(rbd_group_snap_rename(io, group, "one", "first"));
	put_all('c');
	IS(rbd_group_snap_rollback(io, group, "one"), -ENOENT);
	IS(rbd_group_snap_rollback(io, "no such group", "first"), -ENOENT);
	if (own) {
		IS(rbd_group_snap_rollback_with_progress(io, group, "first", cancel_progress, NULL), -ECANCELED);
		all_have('c');
	}
	OK(rbd_group_snap_rollback(io, group, "first"));
	all_have('a');
	OK(rbd_group_snap_rollback_with_progress(io, group, "two", progress, NULL));
	all_have('b');
	if (own) {
		IS(calls, IMAGES + 1);
		/* As Ceph 18: an image that was in the snapshot and is not in the group would be changed unasked. */
		OK(rbd_group_image_remove(io, group, io, images[0]));
		IS(rbd_group_snap_rollback(io, group, "first"), -EINVAL);
		OK(rbd_group_image_add(io, group, io, images[0]));
	}
	IS(rbd_group_snap_remove(io, group, "one"), -ENOENT);
	IS(rbd_group_snap_remove(io, "no such group", "first"), -ENOENT);
	OK(rbd_group_snap_remove(io, group, "first"));
	TRUE(!has_snap("first") && has_snap("two"));
}

/* What an image says of its part; `two` is the only snapshot. */
static void parts_are_in_a_namespace_of_their_own(void)
{
	rbd_image_t image;
	rbd_snap_info_t snaps[MOST];
	rbd_snap_group_namespace_t part;
	rbd_snap_namespace_type_t type;
	int count = MOST, protected;
	OK(rbd_open(io, images[1], &image, NULL));
	IS(rbd_snap_list(image, snaps, &count), 1);
	uint64_t id = snaps[0].id;
	OK(rbd_snap_get_namespace_type(image, id, &type));
	IS(type, RBD_SNAP_NAMESPACE_TYPE_GROUP);
	OK(rbd_snap_get_group_namespace(image, id, &part, sizeof(part)));
	IS(part.group_pool, pool);
	IS(strcmp(part.group_name, group) || strcmp(part.group_snap_name, "two"), 0);
	OK(rbd_snap_group_namespace_cleanup(&part, sizeof(part)));
	IS(rbd_snap_get_group_namespace(image, id, &part, sizeof(part) - 1), -ERANGE);
	IS(rbd_snap_get_group_namespace(image, 99999, &part, sizeof(part)), -ENOENT);
	IS(rbd_snap_group_namespace_cleanup(&part, sizeof(part) - 1), -ERANGE);
	/* By its name it is no snapshot of the image. */
	IS(rbd_snap_remove(image, snaps[0].name), -ENOENT);
	IS(rbd_snap_rename(image, snaps[0].name, "mine"), -ENOENT);
	IS(rbd_snap_protect(image, snaps[0].name), -ENOENT);
	IS(rbd_snap_is_protected(image, snaps[0].name, &protected), -ENOENT);
	IS(rbd_snap_set(image, snaps[0].name), -ENOENT);
	rbd_snap_list_end(snaps);
	OK(rbd_snap_set_by_id(image, id));
	char block[BLOCK];
	IS(rbd_read(image, 0, BLOCK, block), BLOCK);
	TRUE(all(block, BLOCK, 'b'));
	OK(rbd_snap_set(image, NULL));
	OK(rbd_snap_create(image, "user"));
	uint64_t users;
	OK(rbd_snap_get_id(image, "user", &users));
	IS(rbd_snap_get_group_namespace(image, users, &part, sizeof(part)), -EINVAL);
	OK(rbd_snap_remove(image, "user"));
	OK(rbd_close(image));
	/* It keeps the image, also when that has left the group. */
	OK(rbd_group_image_remove(io, group, io, images[1]));
	IS(rbd_remove(io, images[1]), -ENOTEMPTY);
	OK(rbd_group_image_add(io, group, io, images[1]));
}

/* Of Ceph 20. */
struct part_info {
	char *image_name;
	int64_t pool_id;
	uint64_t snap_id;
};

struct snap_info2 {
	char *id, *name, *image_snap_name;
	int state, namespace_type;
	size_t image_snaps_count;
	struct part_info *image_snaps;
};

static void newer_calls(void)
{
	int (*get_id)(rados_ioctx_t, const char *, char *, size_t *) = dlsym(RTLD_DEFAULT, "rbd_group_get_id");
	int (*list2)(rados_ioctx_t, const char *, struct snap_info2 *, size_t *) =
		dlsym(RTLD_DEFAULT, "rbd_group_snap_list2");
	void (*list2_cleanup)(struct snap_info2 *, size_t) = dlsym(RTLD_DEFAULT, "rbd_group_snap_list2_cleanup");
	int (*get_info)(rados_ioctx_t, const char *, const char *, struct snap_info2 *) =
		dlsym(RTLD_DEFAULT, "rbd_group_snap_get_info");
	void (*get_info_cleanup)(struct snap_info2 *) = dlsym(RTLD_DEFAULT, "rbd_group_snap_get_info_cleanup");
	if (!own)
		return;
	char id[64];
	size_t size = 1;
	IS(get_id(io, group, id, &size), -ERANGE);
	TRUE(size > 1 && size <= sizeof(id));
	OK(get_id(io, group, id, &size));
	IS(strlen(id) + 1, size);
	IS(get_id(io, "no such group", id, &size), -ENOENT);
	struct snap_info2 found[MOST], one;
	size_t count = 0;
	IS(list2(io, "no such group", found, &count), -ENOENT);
	IS(list2(io, group, found, &count), -ERANGE);
	IS(count, 1);
	OK(list2(io, group, found, &count));
	IS(strcmp(found[0].name, "two"), 0);
	IS(found[0].image_snaps_count, IMAGES);
	IS(found[0].state, RBD_GROUP_SNAP_STATE_COMPLETE);
	IS(found[0].image_snaps[0].pool_id, pool);
	TRUE(found[0].image_snaps[0].snap_id > 0 && found[0].image_snaps[0].image_name[0]);
	IS(get_info(io, group, "none", &one), -ENOENT);
	IS(get_info(io, "no such group", "two", &one), -ENOENT);
	OK(get_info(io, group, "two", &one));
	IS(strcmp(one.id, found[0].id) || strcmp(one.image_snap_name, found[0].image_snap_name), 0);
	get_info_cleanup(&one);
	list2_cleanup(found, count);
	OK(rbd_group_snap_create(io, other, "empty"));
	OK(get_info(io, other, "empty", &one));
	IS(one.image_snaps_count, 0);
	IS(strcmp(one.image_snap_name, ""), 0);
	get_info_cleanup(&one);
}

int main(int argc, char **argv)
{
	rados_t cluster;
	int order = 0;
	if (argc != 3)
		return 2;
	own = getenv("LSD_OWN") != NULL;
	io = open_pool(&cluster, argv[1]);
	pool = rados_ioctx_get_id(io);
	snprintf(group, sizeof(group), "%s-group", argv[2]);
	snprintf(other, sizeof(other), "%s-other", argv[2]);
	for (int i = 0; i < IMAGES; i++) {
		snprintf(images[i], sizeof(images[i]), i ? "%s-%d" : "%s", argv[2], i);
		OK(rbd_create(io, images[i], SIZE, &order));
	}
	groups_come_and_go();
	images_are_in_one_group();
	snapshots_come_and_go();
	parts_are_in_a_namespace_of_their_own();
	newer_calls();
	OK(rbd_group_remove(io, group));
	OK(rbd_group_remove(io, other));
	TRUE(!is_listed(group) && !is_listed(other));
	for (int i = IMAGES - 1; i >= 0; i--)
		OK(rbd_remove(io, images[i]));
	return finish(cluster, io);
}
