/* capi_trash POOL NAME: the trash of a pool: what is in it comes back, or goes. */
#include "capi.h"

enum { SIZE = 4 << 20, MOST = 64 };

static rados_ioctx_t io;
static const char *name;

static int progress(uint64_t done, uint64_t total, void *arg)
{
	(void)arg;
	return done <= total ? 0 : -EDOM;
}

static rbd_trash_image_info_t entry_of(const char *wanted)
{
	rbd_trash_image_info_t all[MOST], found = {0};
	size_t count = MOST;
	int listed = rbd_trash_list(io, all, &count);
	IS(listed, (int)count);
	for (size_t i = 0; i < count; i++)
		if (!strcmp(all[i].name, wanted)) {
			found = all[i];
			found.id = strdup(all[i].id);
			found.name = strdup(all[i].name);
		}
	rbd_trash_list_cleanup(all, count);
	return found;
}

static bool listed(const char *wanted)
{
	char names[4096];
	size_t size = sizeof(names);
	int used = rbd_list(io, names, &size);
	for (int at = 0; at < used; at += strlen(names + at) + 1)
		if (!strcmp(names + at, wanted))
			return true;
	return false;
}

static void it_comes_back(void)
{
	char other[200];
	snprintf(other, sizeof(other), "%s-back", name);
	IS(rbd_trash_move(io, "no such image", 0), -ENOENT);
	rbd_image_t image;
	OK(rbd_open(io, name, &image, NULL));
	OK(rbd_trash_move(io, name, 3600));
	OK(rbd_close(image));
	IS(listed(name), false);
	IS(rbd_open(io, name, &image, NULL), -ENOENT);
	rbd_trash_image_info_t entry = entry_of(name), got;
	IS(entry.source, RBD_TRASH_IMAGE_SOURCE_USER);
	IS(entry.deferment_end_time - entry.deletion_time, 3600);
	OK(rbd_trash_get(io, entry.id, &got));
	IS(strcmp(got.id, entry.id) || strcmp(got.name, name), 0);
	rbd_trash_get_cleanup(&got);
	IS(rbd_trash_get(io, "abc", &got), -ENOENT);
	OK(rbd_open_by_id(io, entry.id, &image, NULL));
	OK(rbd_close(image));
	size_t none = 0;
	IS(rbd_trash_list(io, &got, &none), -ERANGE);
	IS(none >= 1, true);
	IS(rbd_trash_remove(io, entry.id, false), -EPERM);
	IS(rbd_trash_restore(io, "abc", "x"), -ENOENT);
	OK(rbd_trash_restore(io, entry.id, other));
	IS(listed(other), true);
	OK(rbd_trash_move(io, other, 0));
	OK(rbd_trash_restore(io, entry.id, ""));
	IS(listed(other), true);
	OK(rbd_rename(io, other, name));
	free(entry.id);
	free(entry.name);
}

static void it_goes(void)
{
	OK(rbd_trash_move(io, name, 3600));
	rbd_trash_image_info_t entry = entry_of(name);
	OK(rbd_trash_purge(io, 0, -1));
	OK(rbd_trash_purge_with_progress(io, 0, -1, progress, NULL));
	rbd_trash_image_info_t got;
	OK(rbd_trash_get(io, entry.id, &got));
	rbd_trash_get_cleanup(&got);
	IS(rbd_trash_purge(io, 0, 2), -EINVAL);
	IS(rbd_trash_purge(io, 0, -0.5f), -EINVAL);
	OK(rbd_trash_purge(io, 0, 1)); /* no pool is used to more than that */
	OK(rbd_trash_remove_with_progress(io, entry.id, true, progress, NULL));
	IS(rbd_trash_get(io, entry.id, &got), -ENOENT);
	IS(rbd_trash_remove(io, entry.id, true), -ENOENT);
	rbd_image_t image;
	IS(rbd_open_by_id(io, entry.id, &image, NULL), -ENOENT);
	free(entry.id);
	free(entry.name);
	int order = 0;
	OK(rbd_create(io, name, SIZE, &order));
	OK(rbd_trash_move(io, name, 0));
	entry = entry_of(name);
	OK(rbd_trash_purge(io, 0, -1));
	IS(rbd_trash_get(io, entry.id, &got), -ENOENT);
	free(entry.id);
	free(entry.name);
}

int main(int argc, char **argv)
{
	rados_t cluster;
	int order = 0;
	if (argc != 3)
		return 2;
	name = argv[2];
	io = open_pool(&cluster, argv[1]);
	OK(rbd_create(io, name, SIZE, &order));
	it_comes_back();
	it_goes();
	return finish(cluster, io);
}
