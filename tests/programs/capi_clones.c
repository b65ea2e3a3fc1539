/* capi_clones POOL NAME: clones, what they show of their parents, flattening and deep copies. Everything holds on stock librbd too,
 * but for what is checked only with LSD_OWN set. */
#include "capi.h"
#include <dlfcn.h>

enum { SIZE = 16 << 20, OBJECT = 4 << 20, LEN = 4096, NAME = 64 };

/* Newer than the installed header. */
struct trash_namespace {
	int original_namespace_type;
	char *original_name;
};
static int (*clone4)(rados_ioctx_t, const char *, uint64_t, rados_ioctx_t, const char *, rbd_image_options_t);
static int (*get_trash_namespace2)(rbd_image_t, uint64_t, struct trash_namespace *, size_t);
static int (*trash_namespace_cleanup)(struct trash_namespace *, size_t);
static int (*iterate3)(rbd_image_t, uint64_t, uint64_t, uint64_t, uint32_t,
		       int (*)(uint64_t, size_t, int, void *), void *);

static void look_up_newer(void)
{
	clone4 = dlsym(RTLD_DEFAULT, "rbd_clone4");
	get_trash_namespace2 = dlsym(RTLD_DEFAULT, "rbd_snap_get_trash_namespace2");
	trash_namespace_cleanup = dlsym(RTLD_DEFAULT, "rbd_snap_trash_namespace_cleanup");
	iterate3 = dlsym(RTLD_DEFAULT, "rbd_diff_iterate3");
}

static rados_ioctx_t io;
static const char *pool, *name;
static bool own;

/* Another name for an image of this run; four of them live at a time. */
static const char *image_name(const char *suffix)
{
	static char names[4][NAME];
	static int next;
	char *text = names[next++ % 4];
	snprintf(text, NAME, "%s-%s", name, suffix);
	return text;
}

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

static rbd_image_t open_image(const char *image_name, const char *snap)
{
	rbd_image_t image;
	if (rbd_open(io, image_name, &image, snap) < 0) {
		fprintf(stderr, "cannot open %s\n", image_name);
		exit(2);
	}
	return image;
}

static int clone_as(const char *parent, const char *snap, const char *child, uint64_t format)
{
	rbd_image_options_t options;
	rbd_image_options_create(&options);
	OK(rbd_image_options_set_uint64(options, RBD_IMAGE_OPTION_CLONE_FORMAT, format));
	int result = rbd_clone3(io, parent, snap, io, child, options);
	rbd_image_options_destroy(options);
	return result;
}

static uint64_t overlap_of(rbd_image_t image)
{
	uint64_t overlap = 77;
	OK(rbd_get_overlap(image, &overlap));
	return overlap;
}

static uint64_t op_features_of(rbd_image_t image)
{
	uint64_t features = 77;
	OK(rbd_get_op_features(image, &features));
	return features;
}

static void making(rbd_image_t base)
{
	int order = 0;
	rbd_image_options_t options;
	IS(rbd_clone(io, name, "none", io, image_name("a"), 61, &order), -ENOENT);
	IS(rbd_clone(io, image_name("none"), "s", io, image_name("a"), 61, &order), -ENOENT);
	IS(clone_as(name, "s", image_name("a"), 1), -EINVAL); /* it is not protected */
	if (own) /* stock librbd takes any other number for 2 */
		IS(clone_as(name, "s", image_name("a"), 3), -EINVAL);
	OK(rbd_snap_protect(base, "s"));
	OK(clone_as(name, "s", image_name("a"), 1));
	IS(clone_as(name, "s", image_name("a"), 1), -EEXIST);
	IS(rbd_clone(io, name, "s", io, image_name("b"), 4, &order), -ENOSYS); /* no layering */
	IS(rbd_clone(io, name, "s", io, image_name("b"), 1ull << 40 | 1, &order), -ENOSYS);
	order = 40;
	IS(rbd_clone(io, name, "s", io, image_name("b"), 61, &order), -EDOM);
	order = 0;
	OK(rbd_clone(io, name, "s", io, image_name("b"), 61, &order));
	OK(rbd_remove(io, image_name("b")));
	order = 20;
	OK(rbd_clone2(io, name, "s", io, image_name("b"), 61, &order, 65536, 4));
	rbd_image_t b = open_image(image_name("b"), NULL);
	rbd_image_info_t info;
	uint64_t unit = 0, stripes = 0;
	OK(rbd_stat(b, &info, sizeof(info)));
	OK(rbd_get_stripe_unit(b, &unit));
	OK(rbd_get_stripe_count(b, &stripes));
	IS(info.order, 20);
	IS(info.size, SIZE);
	IS(unit, 65536);
	IS(stripes, 4);
	expect(b, 0, 'a');
	OK(rbd_close(b));
	OK(rbd_remove(io, image_name("b")));
	rbd_image_options_create(&options);
	OK(rbd_image_options_set_uint64(options, RBD_IMAGE_OPTION_FORMAT, 1));
	IS(rbd_clone3(io, name, "s", io, image_name("b"), options), -EINVAL);
	rbd_image_options_clear(options);
	if (own) {
		uint64_t id = 0;
		OK(rbd_snap_get_id(base, "s", &id));
		OK(clone4(io, name, id, io, image_name("b"), options));
		OK(rbd_remove(io, image_name("b")));
		IS(clone4(io, name, id + 1, io, image_name("b"), options), -ENOENT);
		IS(clone4(io, NULL, id, io, image_name("b"), options), -EINVAL);
		IS(rbd_clone3(io, name, "s", io, image_name("b"), NULL), -EINVAL);
		IS(rbd_clone3(io, name, "s", NULL, image_name("b"), options), -EINVAL);
		IS(rbd_clone2(io, name, "s", io, image_name("b"), 61, NULL, 0, 0), -EINVAL);
		IS(rbd_clone(io, name, NULL, io, image_name("b"), 61, &order), -EINVAL);
	}
	rbd_image_options_destroy(options);
}

static void expect_parent(rbd_image_t image, const char *parent, const char *snap)
{
	char pools[NAME], names[NAME], ids[NAME], snaps[NAME], id[NAME];
	rbd_linked_image_spec_t spec;
	rbd_snap_spec_t snap_spec;
	rbd_image_t opened = open_image(parent, NULL);
	OK(rbd_get_id(opened, id, NAME));
	OK(rbd_close(opened));
	OK(rbd_get_parent_info(image, pools, NAME, names, NAME, snaps, NAME));
	TRUE(!strcmp(pools, pool) && !strcmp(names, parent) && !strcmp(snaps, snap));
	OK(rbd_get_parent_info2(image, NULL, 0, names, NAME, ids, NAME, NULL, 0));
	TRUE(!strcmp(names, parent) && !strcmp(ids, id));
	IS(rbd_get_parent_info(image, pools, NAME, names, 2, snaps, NAME), -ERANGE);
	OK(rbd_get_parent(image, &spec, &snap_spec));
	TRUE(!strcmp(spec.pool_name, pool) && !strcmp(spec.pool_namespace, ""));
	TRUE(!strcmp(spec.image_name, parent) && !strcmp(spec.image_id, id) && !spec.trash);
	IS(spec.pool_id, rados_ioctx_get_id(io));
	IS(snap_spec.namespace_type, RBD_SNAP_NAMESPACE_TYPE_USER);
	TRUE(!strcmp(snap_spec.name, snap) && snap_spec.id > 0);
	rbd_linked_image_spec_cleanup(&spec);
	rbd_snap_spec_cleanup(&snap_spec);
}

static void showing(rbd_image_t base)
{
	rbd_image_t a = open_image(image_name("a"), NULL);
	expect_parent(a, name, "s");
	IS(op_features_of(a), 0); /* format 1 */
	IS(overlap_of(a), SIZE);
	IS(overlap_of(base), 0);
	expect(a, 0, 'a');
	expect(a, OBJECT, 0);
	put(base, 0, 'z');
	put(a, LEN, 'b');
	expect(a, 0, 'a');
	expect(base, LEN, 0);
	IS(rbd_snap_unprotect(base, "s"), -EBUSY);
	IS(rbd_snap_remove(base, "s"), -EBUSY);
	OK(rbd_snap_create(a, "wide"));
	OK(rbd_resize(a, LEN));
	OK(rbd_resize(a, SIZE));
	IS(overlap_of(a), LEN);
	expect(a, LEN, 0);
	OK(rbd_snap_set(a, "wide"));
	IS(overlap_of(a), SIZE);
	expect_parent(a, name, "s");
	expect(a, LEN, 'b');
	IS(rbd_flatten(a), -EROFS);
	OK(rbd_snap_set(a, NULL));
	OK(rbd_close(a));
}

/* How many extents with data there are, and their bytes. */
struct seen {
	uint64_t extents, bytes;
};

static int see(uint64_t offset, size_t len, int exists, void *arg)
{
	struct seen *seen = arg;
	(void)offset;
	seen->extents += exists;
	seen->bytes += exists ? len : 0;
	return 0;
}

static void differences(void)
{
	rbd_image_t b;
	OK(clone_as(name, "s", image_name("b"), 2));
	b = open_image(image_name("b"), NULL);
	IS(op_features_of(b), RBD_OPERATION_FEATURE_CLONE_CHILD);
	put(b, OBJECT, 'c');
	struct seen with = {0}, without = {0}, whole = {0}, newer = {0};
	OK(rbd_diff_iterate2(b, NULL, 0, SIZE, 1, 1, see, &with));
	IS(with.bytes, 2 * OBJECT);
	OK(rbd_diff_iterate2(b, NULL, 0, SIZE, 0, 0, see, &without));
	IS(without.extents, 1);
	IS(without.bytes, LEN);
	OK(rbd_diff_iterate2(b, NULL, 0, SIZE, 0, 1, see, &whole));
	IS(whole.bytes, OBJECT);
	if (own) {
		OK(iterate3(b, 0, 0, SIZE, 0, see, &newer));
		IS(newer.bytes, LEN);
		OK(iterate3(b, 0, 0, SIZE, 1, see, &newer));
		IS(newer.bytes, 3 * LEN);
	}
	OK(rbd_close(b));
}

static void expect_children(rbd_image_t image, const char *const *names, size_t wanted)
{
	char pools[256], images[256];
	size_t pools_len = sizeof(pools), images_len = sizeof(images), max = 8, none = 0;
	rbd_linked_image_spec_t linked[8];
	rbd_child_info_t infos[8];
	int places = 8;
	IS(rbd_list_children(image, pools, &pools_len, images, &images_len), wanted);
	const char *at = images;
	for (size_t i = 0; i < wanted; i++, at += strlen(at) + 1)
		TRUE(!strcmp(at, names[i]));
	OK(rbd_list_children3(image, linked, &max));
	IS(max, wanted);
	for (size_t i = 0; i < max; i++) {
		TRUE(!strcmp(linked[i].image_name, names[i]) && !strcmp(linked[i].pool_name, pool));
		TRUE(linked[i].image_id[0] && !linked[i].pool_namespace[0] && !linked[i].trash);
	}
	rbd_linked_image_spec_list_cleanup(linked, max);
	IS(rbd_list_children2(image, infos, &places), wanted);
	for (size_t i = 0; i < wanted; i++)
		TRUE(!strcmp(infos[i].image_name, names[i]) && !strcmp(infos[i].pool_name, pool) && !infos[i].trash);
	if (wanted > 0) {
		rbd_list_child_cleanup(&infos[0]);
		infos[0] = (rbd_child_info_t){0};
	}
	rbd_list_children_cleanup(infos, wanted);
	places = wanted;
	IS(rbd_list_children2(image, infos, &places), -ERANGE);
	IS(places, wanted + 1);
	if (wanted > 0) {
		IS(rbd_list_children3(image, NULL, &none), -ERANGE);
		IS(none, wanted);
		pools_len = images_len = 1;
		IS(rbd_list_children(image, pools, &pools_len, images, &images_len), -ERANGE);
		TRUE(pools_len >= wanted * 2 && images_len >= wanted * 2);
	}
}

static void listing(rbd_image_t base)
{
	char a[NAME], b[NAME], c[NAME], id[NAME];
	size_t max = 8;
	rbd_linked_image_spec_t linked[8];
	strcpy(a, image_name("a"));
	strcpy(b, image_name("b"));
	strcpy(c, image_name("c"));
	expect_children(base, (const char *const[]){ a, b }, 2);
	OK(rbd_snap_create(base, "later"));
	OK(rbd_snap_set(base, "later"));
	expect_children(base, NULL, 0);
	OK(rbd_snap_set(base, "s"));
	expect_children(base, (const char *const[]){ a, b }, 2);
	OK(rbd_snap_set(base, NULL));
	OK(rbd_snap_remove(base, "later"));
	rbd_image_t image = open_image(b, NULL);
	OK(rbd_get_id(image, id, NAME));
	OK(rbd_snap_create(image, "t"));
	OK(clone_as(b, "t", c, 2));
	expect_children(base, (const char *const[]){ a, b }, 2);
	OK(rbd_list_descendants(base, linked, &max));
	IS(max, 3);
	TRUE(!strcmp(linked[0].image_name, a) && !strcmp(linked[1].image_name, b) && !strcmp(linked[2].image_name, c));
	rbd_linked_image_spec_list_cleanup(linked, max);
	OK(rbd_remove(io, c));
	OK(rbd_snap_remove(image, "t"));
	OK(rbd_close(image));
	OK(rbd_trash_move(io, b, 0));
	max = 8;
	OK(rbd_list_children3(base, linked, &max));
	IS(max, 2);
	TRUE(linked[1].trash && !linked[0].trash);
	rbd_linked_image_spec_list_cleanup(linked, max);
	OK(rbd_trash_restore(io, id, b));
}

static void flattening(void)
{
	int told = 0;
	rbd_image_t b = open_image(image_name("b"), NULL), reader, base = open_image(name, NULL);
	OK(rbd_open_read_only(io, image_name("b"), &reader, NULL));
	IS(rbd_flatten(reader), -EROFS);
	OK(rbd_close(reader));
	IS(rbd_flatten(base), -EINVAL);
	OK(rbd_close(base));
	OK(rbd_flatten_with_progress(b, note_progress, &told));
	TRUE(told > 0);
	IS(overlap_of(b), 0);
	IS(op_features_of(b), 0);
	rbd_linked_image_spec_t spec;
	rbd_snap_spec_t snap;
	IS(rbd_get_parent(b, &spec, &snap), -ENOENT);
	expect(b, 0, 'a');
	expect(b, OBJECT, 'c');
	IS(rbd_flatten_with_progress(b, note_progress, &told), -EINVAL);
	OK(rbd_close(b));
	OK(rbd_remove(io, image_name("b")));
}

static void copying(void)
{
	int told = 0, is_protected = 0;
	rbd_image_options_t options;
	rbd_image_options_create(&options);
	rbd_image_t a = open_image(image_name("a"), NULL), copy;
	put(a, 3 * OBJECT, 'h');
	OK(rbd_snap_protect(a, "wide"));
	OK(rbd_metadata_set(a, "key", "value"));
	OK(rbd_deep_copy(a, io, image_name("b"), options));
	IS(rbd_deep_copy(a, io, image_name("b"), options), -EEXIST);
	copy = open_image(image_name("b"), NULL);
	expect_parent(copy, name, "s");
	IS(overlap_of(copy), LEN);
	expect(copy, 0, 'a');
	expect(copy, LEN, 0);
	expect(copy, 3 * OBJECT, 'h');
	OK(rbd_snap_is_protected(copy, "wide", &is_protected));
	IS(is_protected, 1);
	OK(rbd_snap_set(copy, "wide"));
	expect(copy, LEN, 'b');
	expect(copy, 3 * OBJECT, 0);
	if (own) /* stock librbd says 0 */
		IS(overlap_of(copy), SIZE);
	char value[NAME];
	size_t len = NAME;
	OK(rbd_metadata_get(copy, "key", value, &len));
	TRUE(!strcmp(value, "value"));
	OK(rbd_snap_set(copy, NULL));
	OK(rbd_snap_unprotect(copy, "wide"));
	OK(rbd_snap_remove(copy, "wide"));
	OK(rbd_close(copy));
	OK(rbd_remove(io, image_name("b")));
	rbd_image_options_clear(options);
	OK(rbd_image_options_set_uint64(options, RBD_IMAGE_OPTION_FLATTEN, 1));
	OK(rbd_deep_copy_with_progress(a, io, image_name("b"), options, note_progress, &told));
	TRUE(told > 0);
	copy = open_image(image_name("b"), "wide");
	IS(overlap_of(copy), 0);
	expect(copy, 0, 'a');
	expect(copy, LEN, 'b');
	OK(rbd_snap_set(copy, NULL));
	expect(copy, LEN, 0);
	OK(rbd_snap_unprotect(copy, "wide"));
	OK(rbd_snap_remove(copy, "wide"));
	OK(rbd_close(copy));
	OK(rbd_remove(io, image_name("b")));
	OK(rbd_snap_unprotect(a, "wide"));
	/* Of a snapshot: what it shows, with itself. */
	OK(rbd_snap_set(a, "wide"));
	rbd_image_options_clear(options);
	OK(rbd_deep_copy(a, io, image_name("b"), options));
	copy = open_image(image_name("b"), NULL);
	expect(copy, LEN, 'b');
	expect(copy, 3 * OBJECT, 0);
	OK(rbd_snap_remove(copy, "wide"));
	OK(rbd_close(copy));
	OK(rbd_remove(io, image_name("b")));
	OK(rbd_snap_set(a, NULL));
	OK(rbd_snap_remove(a, "wide"));
	if (own) {
		IS(rbd_deep_copy_with_progress(a, io, image_name("b"), options, cancel_progress, NULL), -ECANCELED);
		OK(rbd_remove(io, image_name("b")));
		IS(rbd_deep_copy(a, NULL, image_name("b"), options), -EINVAL);
		IS(rbd_deep_copy(a, io, NULL, options), -EINVAL);
		IS(rbd_deep_copy(a, io, image_name("b"), NULL), -EINVAL);
	}
	rbd_image_options_destroy(options);
	OK(rbd_close(a));
}

/* A snapshot that was removed and has clones goes out of sight. */
static void removing(rbd_image_t base)
{
	rbd_snap_info_t snaps[4];
	rbd_snap_namespace_type_t type;
	char text[NAME];
	int max = 4, told = 0;
	uint64_t id = 0;
	bool exists = true;
	/* Flattened and unprotected first: image a goes on without it. */
	IS(rbd_snap_remove2(base, "s", RBD_SNAP_REMOVE_UNPROTECT, note_progress, &told), -EBUSY);
	OK(rbd_snap_remove2(base, "s", RBD_SNAP_REMOVE_FORCE, note_progress, &told));
	TRUE(told > 0);
	rbd_image_t a = open_image(image_name("a"), NULL);
	IS(overlap_of(a), 0);
	expect(a, 0, 'a');
	OK(rbd_close(a));
	OK(rbd_snap_create(base, "old"));
	OK(rbd_snap_get_id(base, "old", &id));
	OK(clone_as(name, "old", image_name("b"), 2));
	rbd_image_t anew = open_image(name, NULL);
	TRUE(op_features_of(anew) & RBD_OPERATION_FEATURE_CLONE_PARENT);
	OK(rbd_close(anew));
	IS(rbd_snap_get_trash_namespace(base, id, text, NAME), -EINVAL);
	OK(rbd_snap_remove(base, "old"));
	TRUE(op_features_of(base) & RBD_OPERATION_FEATURE_SNAP_TRASH);
	OK(rbd_snap_exists(base, "old", &exists));
	TRUE(!exists);
	IS(rbd_snap_list(base, snaps, &max), 1);
	IS(snaps[0].id, id);
	rbd_snap_list_end(snaps);
	OK(rbd_snap_get_namespace_type(base, id, &type));
	IS(type, RBD_SNAP_NAMESPACE_TYPE_TRASH);
	OK(rbd_snap_get_trash_namespace(base, id, text, NAME));
	TRUE(!strcmp(text, "old"));
	IS(rbd_snap_get_trash_namespace(base, id, text, 3), -ERANGE);
	if (own) {
		struct trash_namespace told_of = {0};
		IS(get_trash_namespace2(base, id, &told_of, 1), -ERANGE);
		OK(get_trash_namespace2(base, id, &told_of, sizeof(told_of)));
		TRUE(!strcmp(told_of.original_name, "old"));
		IS(told_of.original_namespace_type, RBD_SNAP_NAMESPACE_TYPE_USER);
		OK(trash_namespace_cleanup(&told_of, sizeof(told_of)));
		IS(trash_namespace_cleanup(&told_of, 1), -ERANGE);
	}
	IS(rbd_snap_remove_by_id(base, id), -EBUSY);
	IS(clone_as(name, "old", image_name("c"), 2), -ENOENT);
	OK(rbd_remove(io, image_name("b")));
	max = 4;
	IS(rbd_snap_list(base, snaps, &max), 0);
	rbd_snap_list_end(snaps);
}

int main(int argc, char **argv)
{
	rados_t cluster;
	int order = 22;
	if (argc != 3)
		return 2;
	pool = argv[1];
	name = argv[2];
	own = getenv("LSD_OWN") != NULL;
	look_up_newer();
	io = open_pool(&cluster, pool);
	OK(rbd_create2(io, name, SIZE, RBD_FEATURES_DEFAULT, &order));
	rbd_image_t base = open_image(name, NULL);
	put(base, 0, 'a');
	OK(rbd_snap_create(base, "s"));
	making(base);
	showing(base);
	differences();
	listing(base);
	flattening();
	copying();
	removing(base);
	OK(rbd_close(base));
	OK(rbd_remove(io, image_name("a")));
	OK(rbd_remove(io, name));
	return finish(cluster, io);
}
