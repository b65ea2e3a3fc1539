/* capi_threads POOL NAME: many threads on one image, and callbacks that call back into the library: they submit, wait,
 * read and close, which stock librbd does not allow everywhere. */
#include "capi.h"
#include <pthread.h>

enum { SIZE = 64 << 20, THREADS = 4, CHAIN = 300, DEPTH = 8, BLOCK = 4096 };

static rados_ioctx_t io;
static const char *name;
static rbd_image_t image;

/* A chain of operations on one region, each submitted by the callback of the one before. */
struct chain {
	uint64_t start;
	unsigned seed;
	int left, failed;
	char data[BLOCK], back[BLOCK];
	pthread_mutex_t lock;
	pthread_cond_t ended;
	bool over;
};

static void next(struct chain *chain);

static void step(rbd_completion_t c, void *arg)
{
	struct chain *chain = arg;
	if (rbd_aio_get_return_value(c) < 0)
		chain->failed++;
	rbd_aio_release(c);
	next(chain);
}

static void next(struct chain *chain)
{
	rbd_completion_t c;
	if (chain->left-- == 0) {
		pthread_mutex_lock(&chain->lock);
		chain->over = true;
		pthread_cond_signal(&chain->ended);
		pthread_mutex_unlock(&chain->lock);
		return;
	}
	if (rbd_aio_create_completion(chain, step, &c) < 0) {
		chain->failed++;
		return;
	}
	uint64_t at = chain->start + (uint64_t)(chain->left % 64) * BLOCK;
	int started;
	if (chain->left % 10 == 9) {
		started = rbd_aio_flush(image, c);
	} else if (chain->left % 2) {
		fill(chain->data, BLOCK, chain->seed + chain->left);
		started = rbd_aio_write(image, at, BLOCK, chain->data, c);
	} else {
		/* What the step before this one wrote, read by a call that waits inside a callback. */
		uint64_t before = chain->start + (uint64_t)((chain->left + 1) % 64) * BLOCK;
		if ((chain->left + 1) % 10 != 9 &&
		    (rbd_read(image, before, BLOCK, chain->back) != BLOCK || memcmp(chain->back, chain->data, BLOCK)))
			chain->failed++;
		started = rbd_aio_read(image, at, BLOCK, chain->back, c);
	}
	if (started < 0)
		chain->failed++;
}

static void *worker(void *arg)
{
	static struct chain chains[THREADS][DEPTH];
	intptr_t number = (intptr_t)arg;
	for (int i = 0; i < DEPTH; i++) {
		struct chain *chain = &chains[number][i];
		*chain = (struct chain){ .start = (uint64_t)(number * DEPTH + i) << 20,
					 .seed = number * 1000 + i,
					 .left = CHAIN,
					 .lock = PTHREAD_MUTEX_INITIALIZER,
					 .ended = PTHREAD_COND_INITIALIZER };
		fill(chain->data, BLOCK, 0);
		next(chain);
	}
	for (int i = 0; i < DEPTH; i++) {
		struct chain *chain = &chains[number][i];
		pthread_mutex_lock(&chain->lock);
		while (!chain->over)
			pthread_cond_wait(&chain->ended, &chain->lock);
		pthread_mutex_unlock(&chain->lock);
		IS(chain->failed, 0);
	}
	return NULL;
}

/* Opens and closes other handles of the image meanwhile. */
static void *opener(void *arg)
{
	(void)arg;
	for (int i = 0; i < 20; i++) {
		rbd_image_t other;
		uint64_t size;
		OK(rbd_open_read_only(io, name, &other, NULL));
		OK(rbd_get_size(other, &size));
		IS(size, SIZE);
		OK(rbd_close(other));
		IS(rbd_get_size(other, &size), -EBADF);
	}
	return NULL;
}

static void close_it(rbd_completion_t c, void *arg)
{
	int *closed = arg;
	rbd_aio_release(c);
	int result = rbd_close(image);
	__atomic_store_n(closed, result < 0 ? result : 1, __ATOMIC_SEQ_CST);
}

int main(int argc, char **argv)
{
	rados_t cluster;
	pthread_t threads[THREADS + 1];
	rbd_completion_t c;
	int order = 0, closed = 0;
	if (argc != 3)
		return 2;
	name = argv[2];
	io = open_pool(&cluster, argv[1]);
	OK(rbd_create(io, name, SIZE, &order));
	if (rbd_open(io, name, &image, NULL) < 0)
		return 2;
	for (intptr_t i = 0; i < THREADS; i++)
		OK(pthread_create(&threads[i], NULL, worker, (void *)i));
	OK(pthread_create(&threads[THREADS], NULL, opener, NULL));
	for (int i = 0; i <= THREADS; i++)
		OK(pthread_join(threads[i], NULL));

	OK(rbd_aio_create_completion(&closed, close_it, &c));
	OK(rbd_aio_flush(image, c));
	for (int i = 0; i < 1000 && !__atomic_load_n(&closed, __ATOMIC_SEQ_CST); i++)
		usleep(10000);
	IS(__atomic_load_n(&closed, __ATOMIC_SEQ_CST), 1);
	IS(rbd_flush(image), -EBADF);
	OK(rbd_remove(io, name));
	return finish(cluster, io);
}
