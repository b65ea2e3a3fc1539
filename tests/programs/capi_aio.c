/* capi_aio POOL NAME: completions, vectors, event sockets, asynchronous open and close. It holds on stock librbd
 * too. */
#include "capi.h"
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/uio.h>

enum { SIZE = 32 << 20, MANY = 2000, BLOCK = 4096 };

static rados_ioctx_t io;
static const char *name;
static pthread_t caller;

struct seen {
	bool released; /* then the callback must not use the completion */
	int calls, complete, other_thread;
	ssize_t result;
	pthread_mutex_t lock;
	pthread_cond_t called;
};

static void on_completion(rbd_completion_t c, void *arg)
{
	struct seen *seen = arg;
	pthread_mutex_lock(&seen->lock);
	seen->calls++;
	seen->complete = seen->released ? 0 : rbd_aio_is_complete(c);
	seen->other_thread = !pthread_equal(pthread_self(), caller);
	seen->result = seen->released ? 0 : rbd_aio_get_return_value(c);
	pthread_cond_broadcast(&seen->called);
	pthread_mutex_unlock(&seen->lock);
}

static void await_calls(struct seen *seen, int calls)
{
	pthread_mutex_lock(&seen->lock);
	while (seen->calls < calls)
		pthread_cond_wait(&seen->called, &seen->lock);
	pthread_mutex_unlock(&seen->lock);
}

static struct seen new_seen(void)
{
	return (struct seen){ .lock = PTHREAD_MUTEX_INITIALIZER, .called = PTHREAD_COND_INITIALIZER };
}

/* Waits for an operation that was started with `started` and gives its result. */
static ssize_t result_of(int started, rbd_completion_t c)
{
	ssize_t result;
	OK(started);
	OK(rbd_aio_wait_for_complete(c));
	IS(rbd_aio_is_complete(c), 1);
	result = rbd_aio_get_return_value(c);
	rbd_aio_release(c);
	return result;
}

static rbd_completion_t fresh(void)
{
	rbd_completion_t c;
	OK(rbd_aio_create_completion(NULL, NULL, &c));
	return c;
}

static void callbacks(rbd_image_t image)
{
	static char data[BLOCK], back[BLOCK];
	struct seen seen = new_seen();
	rbd_completion_t c;
	fill(data, sizeof(data), 3);
	OK(rbd_aio_create_completion(&seen, on_completion, &c));
	IS((intptr_t)rbd_aio_get_arg(c), (intptr_t)&seen);
	OK(rbd_aio_write(image, 0, BLOCK, data, c));
	OK(rbd_aio_wait_for_complete(c));
	IS(seen.calls, 1); /* the callback came before the waiter woke */
	IS(seen.complete, 1);
	IS(seen.result, 0);
	TRUE(seen.other_thread);
	rbd_aio_release(c);
	/* Released at once, the callback still comes. */
	seen.released = true;
	OK(rbd_aio_create_completion(&seen, on_completion, &c));
	OK(rbd_aio_read(image, 0, BLOCK, back, c));
	rbd_aio_release(c);
	await_calls(&seen, 2);
	TRUE(!memcmp(back, data, BLOCK));
}

static void results(rbd_image_t image)
{
	static char data[BLOCK], back[2 * BLOCK];
	uint64_t mismatch = 0;
	rbd_completion_t c;
	fill(data, sizeof(data), 4);
	c = fresh(), IS(result_of(rbd_aio_write(image, SIZE, 1, data, c), c), -EINVAL);
	c = fresh(), IS(result_of(rbd_aio_read(image, SIZE, 1, back, c), c), -EINVAL);
	c = fresh(), IS(result_of(rbd_aio_write(image, SIZE - 100, BLOCK, data, c), c), 0);
	c = fresh(), IS(result_of(rbd_aio_read(image, SIZE - 100, BLOCK, back, c), c), 100);
	TRUE(!memcmp(back, data, 100));
	c = fresh(), IS(result_of(rbd_aio_read(image, 0, 0, back, c), c), 0);
	c = fresh(), IS(result_of(rbd_aio_write(image, 0, 0, data, c), c), 0);
	c = fresh(), IS(result_of(rbd_aio_write2(image, BLOCK, BLOCK, data, c, LIBRADOS_OP_FLAG_FADVISE_FUA), c), 0);
	c = fresh(), IS(result_of(rbd_aio_read2(image, BLOCK, BLOCK, back, c, 0), c), BLOCK);
	TRUE(!memcmp(back, data, BLOCK));
	c = fresh(), IS(result_of(rbd_aio_write_zeroes(image, BLOCK, 100, c, 0, 0), c), 0);
	c = fresh(), IS(result_of(rbd_aio_write_zeroes(image, BLOCK, 100, c, 8, 0), c), -EINVAL);
	c = fresh(), IS(result_of(rbd_aio_writesame(image, 8 * BLOCK, 2 * BLOCK, data, BLOCK, c, 0), c), 0);
	c = fresh(), IS(result_of(rbd_aio_read(image, 8 * BLOCK, 2 * BLOCK, back, c), c), 2 * BLOCK);
	TRUE(!memcmp(back, data, BLOCK) && !memcmp(back + BLOCK, data, BLOCK));
	c = fresh(), IS(rbd_aio_writesame(image, 0, BLOCK, data, 1000, c, 0), -EINVAL), rbd_aio_release(c);
	c = fresh(), IS(result_of(rbd_aio_compare_and_write(image, 8 * BLOCK, 512, data, back + 512, c, &mismatch, 0), c), 0);
	memset(back, 'q', 512);
	c = fresh(), IS(result_of(rbd_aio_compare_and_write(image, 0, 512, back, data, c, &mismatch, 0), c), -EILSEQ);
	c = fresh(), IS(result_of(rbd_aio_discard(image, 0, 4 << 20, c), c), 0);
	c = fresh(), IS(result_of(rbd_aio_read(image, 8 * BLOCK, BLOCK, back, c), c), BLOCK);
	TRUE(all(back, BLOCK, 0));
	c = fresh(), IS(result_of(rbd_aio_flush(image, c), c), 0);
}

static void vectors(rbd_image_t image)
{
	static char data[3][1000], back[2][1500];
	struct iovec out[3], in[2];
	rbd_completion_t c;
	for (int i = 0; i < 3; i++) {
		fill(data[i], 1000, 50 + i);
		out[i] = (struct iovec){ data[i], 1000 };
	}
	for (int i = 0; i < 2; i++)
		in[i] = (struct iovec){ back[i], 1500 };
	c = fresh(), IS(result_of(rbd_aio_writev(image, out, 3, 5000, c), c), 0);
	c = fresh(), IS(result_of(rbd_aio_readv(image, in, 2, 5000, c), c), 3000);
	TRUE(!memcmp(back, data, 3000));
	c = fresh(), IS(rbd_aio_writev(image, out, 0, 0, c), -EINVAL), rbd_aio_release(c);
	c = fresh(), IS(rbd_aio_readv(image, in, -1, 0, c), -EINVAL), rbd_aio_release(c);
}

static void many_in_flight(rbd_image_t image)
{
	static char data[MANY][512], back[MANY][512];
	static rbd_completion_t all_of_them[MANY];
	struct seen seen = new_seen();
	seen.released = true;
	for (int i = 0; i < MANY; i++) {
		fill(data[i], 512, i);
		OK(rbd_aio_create_completion(&seen, on_completion, &all_of_them[i]));
		OK(rbd_aio_write(image, (8 << 20) + i * 512, 512, data[i], all_of_them[i]));
	}
	await_calls(&seen, MANY);
	for (int i = 0; i < MANY; i++) {
		OK(rbd_aio_wait_for_complete(all_of_them[i]));
		OK(rbd_aio_get_return_value(all_of_them[i]));
		rbd_aio_release(all_of_them[i]);
		OK(rbd_aio_create_completion(&seen, on_completion, &all_of_them[i]));
		OK(rbd_aio_read(image, (8 << 20) + i * 512, 512, back[i], all_of_them[i]));
		rbd_aio_release(all_of_them[i]);
	}
	await_calls(&seen, 2 * MANY);
	TRUE(!memcmp(data, back, sizeof(data)));
}

/* Overlapping writes in flight take effect in the order in which they were sent. */
static void overlapping(rbd_image_t image)
{
	static char data[64][8192];
	char back[8192];
	rbd_completion_t c[64];
	for (int i = 0; i < 64; i++) {
		memset(data[i], i, sizeof(data[i]));
		c[i] = fresh();
		OK(rbd_aio_write(image, (16 << 20) + (i % 3) * 512, 8192 - (i % 5) * 512, data[i], c[i]));
	}
	for (int i = 0; i < 64; i++) {
		OK(rbd_aio_wait_for_complete(c[i]));
		rbd_aio_release(c[i]);
	}
	char wanted[3 * 512 + 8192] = { 0 };
	for (int i = 0; i < 64; i++)
		memset(wanted + (i % 3) * 512, i, 8192 - (i % 5) * 512);
	IS(rbd_read(image, 16 << 20, 8192, back), 8192);
	TRUE(!memcmp(back, wanted, 8192));
}

static void event_socket(int fd, int type, bool pipe_end, int write_end)
{
	static char data[BLOCK];
	rbd_image_t image;
	rbd_completion_t c[8], done[8];
	int count = 0;
	OK(rbd_open(io, name, &image, NULL));
	IS(rbd_set_image_notification(image, write_end, 7), -EINVAL);
	OK(rbd_set_image_notification(image, write_end, type));
	IS(rbd_set_image_notification(image, write_end, type), -EINVAL);
	for (int i = 0; i < 8; i++) {
		OK(rbd_aio_create_completion((void *)(intptr_t)(i + 1), NULL, &c[i]));
		OK(rbd_aio_write(image, i * BLOCK, BLOCK, data, c[i]));
	}
	int arguments = 0;
	while (count < 8) {
		struct pollfd wait = { .fd = fd, .events = POLLIN };
		IS(poll(&wait, 1, 20000), 1);
		if (!(wait.revents & POLLIN))
			break;
		char token[64];
		TRUE(read(fd, token, pipe_end ? 1 : 8) > 0);
		int got = rbd_poll_io_events(image, done, 8);
		TRUE(got >= 0);
		for (int i = 0; i < got; i++) {
			arguments |= 1 << ((intptr_t)rbd_aio_get_arg(done[i]) - 1);
			OK(rbd_aio_get_return_value(done[i]));
			rbd_aio_release(done[i]);
		}
		count += got;
	}
	IS(count, 8);
	IS(arguments, 0xff);
	OK(rbd_poll_io_events(image, done, 8));
	OK(rbd_close(image));
}

static void opening(void)
{
	rbd_image_t image = NULL;
	rbd_completion_t c;
	char id[64];
	c = fresh(), IS(result_of(rbd_aio_open(io, "no-such-image", &image, NULL, c), c), -ENOENT);
	TRUE(image == NULL);
	c = fresh(), IS(result_of(rbd_aio_open(io, name, &image, NULL, c), c), 0);
	OK(rbd_get_id(image, id, sizeof(id)));
	c = fresh(), IS(result_of(rbd_aio_close(image, c), c), 0);
	c = fresh(), IS(result_of(rbd_aio_open_by_id(io, id, &image, NULL, c), c), 0);
	IS(rbd_write(image, 0, 1, "x"), 1);
	c = fresh(), IS(result_of(rbd_aio_close(image, c), c), 0);
	c = fresh(), IS(result_of(rbd_aio_open_read_only(io, name, &image, NULL, c), c), 0);
	IS(rbd_write(image, 0, 1, "x"), -EROFS);
	c = fresh(), IS(result_of(rbd_aio_close(image, c), c), 0);
	c = fresh(), IS(result_of(rbd_aio_open_by_id_read_only(io, id, &image, NULL, c), c), 0);
	IS(rbd_write(image, 0, 1, "x"), -EROFS);
	c = fresh(), IS(result_of(rbd_aio_write(image, 0, 1, "x", c), c), -EROFS);
	c = fresh(), IS(result_of(rbd_aio_close(image, c), c), 0);
}

/* rbd_close waits for what is in flight, callbacks included. */
static void closing(void)
{
	static char data[1 << 20];
	struct seen seen = new_seen();
	rbd_image_t image;
	seen.released = true;
	OK(rbd_open(io, name, &image, NULL));
	for (int i = 0; i < 16; i++) {
		rbd_completion_t c;
		OK(rbd_aio_create_completion(&seen, on_completion, &c));
		OK(rbd_aio_write(image, (uint64_t)i << 20, sizeof(data), data, c));
		rbd_aio_release(c);
	}
	OK(rbd_close(image));
	IS(seen.calls, 16);
}

int main(int argc, char **argv)
{
	rados_t cluster;
	rbd_image_t image;
	int order = 0, ends[2];
	if (argc != 3)
		return 2;
	name = argv[2];
	caller = pthread_self();
	io = open_pool(&cluster, argv[1]);
	OK(rbd_create(io, name, SIZE, &order));
	if (rbd_open(io, name, &image, NULL) < 0)
		return 2;
	callbacks(image);
	results(image);
	vectors(image);
	many_in_flight(image);
	overlapping(image);
	OK(rbd_close(image));
	int event = eventfd(0, 0);
	event_socket(event, EVENT_TYPE_EVENTFD, false, event);
	OK(pipe(ends));
	event_socket(ends[0], EVENT_TYPE_PIPE, true, ends[1]);
	opening();
	closing();
	OK(rbd_remove(io, name));
	return finish(cluster, io);
}
