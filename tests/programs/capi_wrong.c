/* capi_wrong POOL NAME leak|overrun|released: misuse that no library can tell, to see that the memory checker can: memory
 * of the library that is not given back, a buffer smaller than was said, and one that was freed before it was read into. */
#include "capi.h"

int main(int argc, char **argv)
{
	rados_t cluster;
	rados_ioctx_t io;
	rbd_image_t image;
	rbd_completion_t c;
	int order = 0;
	if (argc != 4)
		return 2;
	io = open_pool(&cluster, argv[1]);
	OK(rbd_create(io, argv[2], 8 << 20, &order));
	if (rbd_open(io, argv[2], &image, NULL) < 0)
		return 2;
	if (strcmp(argv[3], "leak") == 0) {
		rbd_image_watcher_t watchers[4];
		size_t max = 4;
		OK(rbd_watchers_list(image, watchers, &max));
	} else if (strcmp(argv[3], "overrun") == 0) {
		char *small = malloc(100);
		IS(rbd_read(image, 0, 101, small), 101);
		free(small);
	} else {
		char *gone = malloc(4096), *volatile address = gone;
		OK(rbd_aio_create_completion(NULL, NULL, &c));
		free(gone);
		OK(rbd_aio_read(image, 0, 4096, address, c));
		OK(rbd_aio_wait_for_complete(c));
		rbd_aio_release(c);
	}
	OK(rbd_close(image));
	OK(rbd_remove(io, argv[2]));
	return finish(cluster, io);
}
