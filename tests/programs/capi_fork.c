/* capi_fork POOL NAME: a process that used the library forks, as a daemon or Python's multiprocessing does. The
 * child has none of its parent's threads, and the library works in it all the same, on a connection of its own. */
#include "capi.h"
#include <sys/wait.h>

enum { SIZE = 8 << 20 };

static void use(const char *pool, const char *name, char value)
{
	rados_t cluster;
	rados_ioctx_t io = open_pool(&cluster, pool);
	rbd_completion_t c;
	rbd_image_t image;
	char data[4096], back[4096];
	memset(data, value, sizeof(data));
	OK(rbd_open(io, name, &image, NULL));
	OK(rbd_aio_create_completion(NULL, NULL, &c));
	OK(rbd_aio_write(image, 0, sizeof(data), data, c));
	OK(rbd_aio_wait_for_complete(c));
	OK(rbd_aio_get_return_value(c));
	rbd_aio_release(c);
	OK(rbd_flush(image));
	IS(rbd_read(image, 0, sizeof(back), back), sizeof(back));
	TRUE(!memcmp(back, data, sizeof(back)));
	OK(rbd_close(image));
	rados_ioctx_destroy(io);
	rados_shutdown(cluster);
}

int main(int argc, char **argv)
{
	rados_t cluster;
	int order = 0, status = 0;
	if (argc != 3)
		return 2;
	rados_ioctx_t io = open_pool(&cluster, argv[1]);
	OK(rbd_create(io, argv[2], SIZE, &order));
	rados_ioctx_destroy(io);
	rados_shutdown(cluster);
	use(argv[1], argv[2], 'p');
	pid_t child = fork();
	if (child == 0) {
		alarm(60);
		use(argv[1], argv[2], 'c');
		_exit(failures ? 1 : 0);
	}
	IS(waitpid(child, &status, 0), child);
	OK(status);
	use(argv[1], argv[2], 'q');
	io = open_pool(&cluster, argv[1]);
	OK(rbd_remove(io, argv[2]));
	return finish(cluster, io);
}
