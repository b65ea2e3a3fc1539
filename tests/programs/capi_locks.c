/* capi_locks POOL NAME: the exclusive lock and the advisory locks, as two clients see them. */
#include "capi.h"

enum { SIZE = 16 << 20, PIECE = 4096 };
#define FEATURES (RBD_FEATURE_LAYERING | RBD_FEATURE_EXCLUSIVE_LOCK)

static const char *pool, *name;
static rados_t cluster[2];
static rados_ioctx_t io[2];
static bool own;

static int owner_of(rbd_image_t image)
{
	int owner = -1;
	OK(rbd_is_exclusive_lock_owner(image, &owner));
	return owner;
}

static int put(rbd_image_t image, uint64_t at, unsigned seed)
{
	char data[PIECE];
	fill(data, sizeof(data), seed);
	int done = rbd_write(image, at, sizeof(data), data);
	return done < 0 ? done : rbd_flush(image);
}

static bool has(rbd_image_t image, uint64_t at, unsigned seed)
{
	char data[PIECE], back[PIECE];
	fill(data, sizeof(data), seed);
	return rbd_read(image, at, sizeof(back), back) == PIECE && !memcmp(data, back, PIECE);
}

static void ownership_moves_with_the_writes(void)
{
	rbd_image_t one, two;
	OK(rbd_open(io[0], name, &one, NULL));
	OK(rbd_open(io[1], name, &two, NULL));
	IS(owner_of(one), 0);
	OK(put(one, 0, 1));
	IS(owner_of(one), 1);
	OK(put(two, PIECE, 2));
	IS(owner_of(one), 0);
	IS(owner_of(two), 1);
	TRUE(has(two, 0, 1));
	OK(put(one, 2 * PIECE, 3));
	TRUE(has(one, PIECE, 2));
	IS(owner_of(one), 1);
	/* Given back by hand, and taken again by the next write. */
	OK(rbd_lock_release(one));
	IS(owner_of(one), 0);
	IS(rbd_lock_release(one), -EINVAL);
	OK(put(one, 0, 4));
	IS(owner_of(one), 1);
	OK(rbd_close(one));
	OK(put(two, 0, 5));
	OK(rbd_close(two));
}

/* Of so small a discard nothing is left to do (rbd_skip_partial_discard), but it takes the image. */
static void a_skipped_discard_takes_the_image(void)
{
	rbd_image_t one, two;
	OK(rbd_open(io[0], name, &one, NULL));
	OK(rbd_open(io[1], name, &two, NULL));
	OK(put(one, 0, 7));
	IS(rbd_discard(two, 0, 256), 256);
	IS(owner_of(one), 0);
	IS(owner_of(two), 1);
	TRUE(has(two, 0, 7));
	OK(rbd_close(one));
	OK(rbd_close(two));
}

static void a_lock_taken_by_hand_stays(void)
{
	rbd_image_t one, two;
	char *owners[2] = {NULL, NULL}, *others[2];
	size_t count = 2;
	rbd_lock_mode_t mode = RBD_LOCK_MODE_SHARED;
	OK(rbd_open(io[0], name, &one, NULL));
	OK(rbd_open(io[1], name, &two, NULL));
	owners[1] = (char *)name;
	IS(rbd_lock_get_owners(one, &mode, owners, &count), -ENOENT);
	TRUE(!owners[0] && !owners[1]);
	IS(rbd_lock_acquire(one, RBD_LOCK_MODE_SHARED), -EOPNOTSUPP);
	OK(rbd_lock_acquire(one, RBD_LOCK_MODE_EXCLUSIVE));
	OK(rbd_lock_acquire(one, RBD_LOCK_MODE_EXCLUSIVE));
	IS(owner_of(one), 1);
	OK(put(one, 0, 1));
	IS(put(two, 0, 2), -EROFS);
	IS(rbd_lock_acquire(two, RBD_LOCK_MODE_EXCLUSIVE), -EROFS);
	count = 0;
	IS(rbd_lock_get_owners(two, &mode, owners, &count), -ERANGE);
	IS(count, 1);
	count = 2;
	OK(rbd_lock_get_owners(two, &mode, owners, &count));
	IS(count, 1);
	IS(mode, RBD_LOCK_MODE_EXCLUSIVE);
	TRUE(owners[0] && strchr(owners[0], ':') && strchr(owners[0], '/'));
	IS(rbd_lock_break(two, RBD_LOCK_MODE_SHARED, owners[0]), -EOPNOTSUPP);
	IS(rbd_lock_break(two, RBD_LOCK_MODE_EXCLUSIVE, "1.2.3.4:0/5"), -EBUSY);
	/* What others change, the owner changes for them. */
	OK(rbd_resize(two, 2 * SIZE));
	OK(rbd_metadata_set(two, "key", "value"));
	IS(owner_of(one), 1);
	OK(put(one, 2 * SIZE - PIECE, 6));
	OK(rbd_lock_release(one));
	IS(owner_of(one), 0);
	IS(put(one, 0, 3), -EROFS);
	IS(rbd_lock_break(one, RBD_LOCK_MODE_EXCLUSIVE, owners[0]), -ENOENT);
	OK(rbd_lock_acquire(two, RBD_LOCK_MODE_EXCLUSIVE));
	OK(put(two, 0, 4));
	count = 2;
	OK(rbd_lock_get_owners(one, &mode, others, &count));
	TRUE(strcmp(owners[0], others[0]));
	rbd_lock_get_owners_cleanup(others, count);
	rbd_lock_get_owners_cleanup(owners, 1);
	OK(rbd_close(one));
	OK(rbd_close(two));
}

static void without_the_feature_there_is_no_lock(void)
{
	rbd_image_t image;
	char plain[200], *owners[1];
	size_t count = 1;
	rbd_lock_mode_t mode;
	int order = 0;
	snprintf(plain, sizeof(plain), "%s-plain", name);
	OK(rbd_create2(io[0], plain, SIZE, RBD_FEATURE_LAYERING, &order));
	OK(rbd_open(io[0], plain, &image, NULL));
	IS(rbd_lock_acquire(image, RBD_LOCK_MODE_EXCLUSIVE), -EINVAL);
	IS(rbd_lock_release(image), -EINVAL);
	IS(rbd_lock_get_owners(image, &mode, owners, &count), -EINVAL);
	IS(rbd_lock_break(image, RBD_LOCK_MODE_EXCLUSIVE, "1.2.3.4:0/5"), -EINVAL);
	OK(put(image, 0, 1));
	IS(owner_of(image), 0);
	/* Features come and go. */
	uint64_t features;
	IS(rbd_update_features(image, RBD_FEATURE_OBJECT_MAP, 1), -EINVAL);
	OK(rbd_update_features(image, RBD_FEATURE_EXCLUSIVE_LOCK, 1));
	IS(rbd_update_features(image, RBD_FEATURE_EXCLUSIVE_LOCK, 1), -EINVAL);
	OK(rbd_update_features(image, RBD_FEATURE_OBJECT_MAP, 1));
	OK(rbd_get_features(image, &features));
	IS(features, FEATURES | RBD_FEATURE_OBJECT_MAP | RBD_FEATURE_FAST_DIFF);
	IS(rbd_update_features(image, RBD_FEATURE_EXCLUSIVE_LOCK, 0), -EINVAL);
	OK(rbd_update_features(image, RBD_FEATURE_FAST_DIFF, 0));
	IS(rbd_update_features(image, RBD_FEATURE_OBJECT_MAP, 0), -EINVAL);
	IS(rbd_update_features(image, RBD_FEATURE_LAYERING, 0), -EINVAL);
	IS(rbd_update_features(image, RBD_FEATURE_DEEP_FLATTEN, 1), -EINVAL);
	IS(rbd_update_features(image, 0, 1), -EINVAL);
	OK(rbd_update_features(image, RBD_FEATURE_EXCLUSIVE_LOCK, 0));
	OK(rbd_get_features(image, &features));
	IS(features, RBD_FEATURE_LAYERING);
	OK(rbd_close(image));
	OK(rbd_open_read_only(io[0], name, &image, NULL));
	IS(rbd_lock_acquire(image, RBD_LOCK_MODE_EXCLUSIVE), -EINVAL);
	IS(rbd_lock_break(image, RBD_LOCK_MODE_EXCLUSIVE, "1.2.3.4:0/5"), -EROFS);
	IS(rbd_update_features(image, RBD_FEATURE_OBJECT_MAP, 1), -EROFS);
	OK(rbd_close(image));
	OK(rbd_remove(io[0], plain));
}

struct lockers {
	char tag[40], clients[200], cookies[200], addrs[400];
	size_t tag_len, clients_len, cookies_len, addrs_len;
	int exclusive;
};

static ssize_t list(rbd_image_t image, struct lockers *l, size_t room)
{
	l->tag_len = sizeof(l->tag);
	l->clients_len = room;
	l->cookies_len = sizeof(l->cookies);
	l->addrs_len = sizeof(l->addrs);
	return rbd_list_lockers(image, &l->exclusive, l->tag, &l->tag_len, l->clients, &l->clients_len, l->cookies,
				&l->cookies_len, l->addrs, &l->addrs_len);
}

static void advisory_locks(void)
{
	rbd_image_t one, two;
	struct lockers l;
	OK(rbd_open(io[0], name, &one, NULL));
	OK(rbd_open(io[1], name, &two, NULL));
	IS(list(one, &l, 200), 0);
	IS(l.clients_len + l.cookies_len + l.addrs_len, 0);
	OK(rbd_lock_exclusive(one, "cookie"));
	IS(rbd_lock_exclusive(one, "cookie"), -EEXIST);
	IS(rbd_lock_exclusive(one, "other"), -EBUSY);
	IS(rbd_lock_exclusive(two, "cookie"), -EBUSY);
	IS(rbd_lock_shared(two, "cookie", "tag"), -EBUSY);
	IS(list(one, &l, 200), 1);
	IS(l.exclusive, 1);
	IS(strncmp(l.clients, "client.", 7), 0);
	IS(strcmp(l.cookies, "cookie"), 0);
	IS(strcmp(l.tag, ""), 0);
	IS(l.cookies_len, 7);
	IS(l.clients_len, strlen(l.clients) + 1);
	IS(l.addrs_len, strlen(l.addrs) + 1);
	size_t needed = l.clients_len;
	IS(list(one, &l, needed - 1), -ERANGE);
	IS(l.clients_len, needed);
	IS(list(one, &l, needed), 1);
	if (own) /* stock librbd waits for ever */
		IS(put(two, 0, 1), -EBUSY);
	IS(rbd_unlock(one, "other"), -ENOENT);
	IS(rbd_unlock(two, "cookie"), -ENOENT);
	OK(rbd_unlock(one, "cookie"));
	IS(rbd_unlock(one, "cookie"), -ENOENT);
	OK(rbd_lock_shared(one, "a", "tag"));
	OK(rbd_lock_shared(one, "b", "tag"));
	IS(rbd_lock_shared(one, "b", "tag"), -EEXIST);
	IS(rbd_lock_shared(one, "c", "tug"), -EBUSY);
	IS(rbd_lock_exclusive(one, "c"), -EBUSY);
	IS(list(one, &l, 200), 2);
	IS(l.exclusive, 0);
	IS(strcmp(l.tag, "tag"), 0);
	IS(l.cookies_len, 4);
	IS(strcmp(l.cookies, "a") + strcmp(l.cookies + 2, "b"), 0);
	OK(rbd_unlock(one, "a"));
	OK(rbd_unlock(one, "b"));
	IS(rbd_break_lock(one, "no client", "a"), -EINVAL);
	IS(rbd_break_lock(one, "client.4", "a"), -ENOENT);
	/* The owner's lock is the same lock. */
	OK(put(two, 0, 1));
	IS(rbd_lock_exclusive(one, "cookie"), -EBUSY);
	OK(rbd_close(one));
	OK(rbd_close(two));
}

/* Last, because it cuts the first client off the cluster. */
static void a_broken_lock_fences_its_holder(void)
{
	rbd_image_t one, two;
	char *owners[1];
	size_t count = 1;
	rbd_lock_mode_t mode;
	struct lockers l;
	OK(rbd_open(io[0], name, &one, NULL));
	OK(rbd_open(io[1], name, &two, NULL));
	OK(rbd_lock_acquire(one, RBD_LOCK_MODE_EXCLUSIVE));
	OK(put(one, 0, 1));
	OK(rbd_lock_get_owners(two, &mode, owners, &count));
	IS(rbd_lock_break(one, RBD_LOCK_MODE_EXCLUSIVE, owners[0]), -EBUSY);
	OK(rbd_lock_break(two, RBD_LOCK_MODE_EXCLUSIVE, owners[0]));
	rbd_lock_get_owners_cleanup(owners, count);
	int owner = -1;
	IS(rbd_is_exclusive_lock_owner(one, &owner), -ESHUTDOWN);
	IS(owner, 0);
	OK(put(two, PIECE, 2));
	IS(put(one, 0, 3), -ESHUTDOWN);
	IS(rbd_is_exclusive_lock_owner(one, &owner), -ESHUTDOWN);
	TRUE(has(two, 0, 1));
	OK(rbd_lock_release(two));
	OK(rbd_lock_exclusive(two, "cookie"));
	IS(list(two, &l, 200), 1);
	/* It lost nothing that it had acknowledged. */
	OK(rbd_close(one));
	OK(rbd_unlock(two, "cookie"));
	OK(rbd_close(two));
}

int main(int argc, char **argv)
{
	int order = 0;
	if (argc != 3)
		return 2;
	pool = argv[1];
	name = argv[2];
	own = getenv("LSD_OWN") != NULL;
	for (int i = 0; i < 2; i++)
		io[i] = open_pool(&cluster[i], pool);
	OK(rbd_create2(io[0], name, SIZE, FEATURES, &order));
	ownership_moves_with_the_writes();
	a_skipped_discard_takes_the_image();
	a_lock_taken_by_hand_stays();
	without_the_feature_there_is_no_lock();
	advisory_locks();
	a_broken_lock_fences_its_holder();
	OK(rbd_remove(io[1], name));
	rados_ioctx_destroy(io[0]);
	rados_shutdown(cluster[0]);
	return finish(cluster[1], io[1]);
}
