/* capi_callbacks POOL NAME: callbacks of reads that come from the cluster: they wait for other reads and writes, block, and close the
 * image, which stock librbd does not allow everywhere, and nothing else stops. */
#include "capi.h"
#include <pthread.h>

enum { SIZE = 32 << 20, BLOCK = 4096, READS = 64, APART = 64 << 10 };

static rados_ioctx_t io;
static const char *name;
static rbd_image_t image;
static int inside, done;
static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;

struct reading {
	uint64_t at;
	char data[BLOCK];
};

static struct reading readings[READS];

static void block_of(char *data, uint64_t at)
{
	fill(data, BLOCK, at / BLOCK);
}

static bool is_block_of(const char *data, uint64_t at)
{
	char wanted[BLOCK];
	block_of(wanted, at);
	return !memcmp(data, wanted, BLOCK);
}

/* What every callback does first and last: only one at a time runs. */
static void begin(rbd_completion_t c, struct reading *reading)
{
	IS(__atomic_add_fetch(&inside, 1, __ATOMIC_SEQ_CST), 1);
	IS(rbd_aio_get_return_value(c), BLOCK);
	TRUE(is_block_of(reading->data, reading->at));
	rbd_aio_release(c);
}

static void end(void)
{
	IS(__atomic_sub_fetch(&inside, 1, __ATOMIC_SEQ_CST), 0);
	__atomic_add_fetch(&done, 1, __ATOMIC_SEQ_CST);
}

static void ends_with(rbd_completion_t plain, int result)
{
	OK(rbd_aio_wait_for_complete(plain));
	IS(rbd_aio_get_return_value(plain), result);
	rbd_aio_release(plain);
}

static void waits(rbd_completion_t c, void *arg)
{
	struct reading *reading = arg;
	uint64_t other = reading->at + BLOCK;
	char data[BLOCK];
	rbd_completion_t plain;
	begin(c, reading);
	IS(rbd_read(image, other, BLOCK, data), BLOCK);
	TRUE(is_block_of(data, other));
	IS(rbd_write(image, other, BLOCK, data), BLOCK);
	OK(rbd_flush(image));
	other += BLOCK;
	OK(rbd_aio_create_completion(NULL, NULL, &plain));
	OK(rbd_aio_read(image, other, BLOCK, data, plain));
	ends_with(plain, BLOCK);
	TRUE(is_block_of(data, other));
	OK(rbd_aio_create_completion(NULL, NULL, &plain));
	OK(rbd_aio_write(image, other, BLOCK, data, plain));
	ends_with(plain, 0);
	OK(rbd_aio_create_completion(NULL, NULL, &plain));
	OK(rbd_aio_flush(image, plain));
	ends_with(plain, 0);
	end();
}

static void blocks(rbd_completion_t c, void *arg)
{
	begin(c, arg);
	pthread_mutex_lock(&held);
	pthread_mutex_unlock(&held);
	end();
}

static void closes(rbd_completion_t c, void *arg)
{
	begin(c, arg);
	OK(rbd_close(image));
	end();
}

static void open_image(void)
{
	if (rbd_open(io, name, &image, NULL) < 0)
		exit(2);
}

/* No data that is read below is in memory afterwards; the map is. */
static void open_cold(void)
{
	char data[BLOCK];
	open_image();
	for (uint64_t at = 0; at < SIZE; at += SIZE / 8)
		IS(rbd_read(image, at + APART - BLOCK, BLOCK, data), BLOCK);
}

static void start(rbd_callback_t callback, int reads)
{
	done = 0;
	for (int i = 0; i < reads; i++) {
		rbd_completion_t c;
		/* Not in order, so that nothing is read ahead. */
		readings[i].at = (uint64_t)((i * 37 + 5) % READS) * APART;
		OK(rbd_aio_create_completion(&readings[i], callback, &c));
		OK(rbd_aio_read(image, readings[i].at, BLOCK, readings[i].data, c));
	}
}

static void wait_for(int reads)
{
	for (int i = 0; i < 3000 && __atomic_load_n(&done, __ATOMIC_SEQ_CST) < reads; i++)
		usleep(10000);
	IS(__atomic_load_n(&done, __ATOMIC_SEQ_CST), reads);
}

int main(int argc, char **argv)
{
	rados_t cluster;
	static char many[1 << 20];
	char data[BLOCK];
	int order = 0;
	if (argc != 3)
		return 2;
	name = argv[2];
	io = open_pool(&cluster, argv[1]);
	OK(rbd_create(io, name, SIZE, &order));
	open_image();
	for (uint64_t at = 0; at < SIZE; at += sizeof(many)) {
		for (uint64_t block = 0; block < sizeof(many); block += BLOCK)
			block_of(many + block, at + block);
		IS(rbd_write(image, at, sizeof(many), many), sizeof(many));
	}
	OK(rbd_close(image));

	open_cold();
	start(waits, READS);
	wait_for(READS);
	OK(rbd_close(image));

	/* The callbacks wait for this thread, and it does not wait for them. */
	open_cold();
	pthread_mutex_lock(&held);
	start(blocks, READS);
	for (uint64_t at = SIZE / 2; at < SIZE / 2 + (uint64_t)READS * APART / 4; at += APART) {
		IS(rbd_read(image, at, BLOCK, data), BLOCK);
		TRUE(is_block_of(data, at));
		IS(rbd_write(image, at, BLOCK, data), BLOCK);
		OK(rbd_flush(image));
	}
	TRUE(__atomic_load_n(&done, __ATOMIC_SEQ_CST) == 0);
	pthread_mutex_unlock(&held);
	wait_for(READS);
	OK(rbd_close(image));

	open_cold();
	start(closes, 1);
	wait_for(1);
	IS(rbd_flush(image), -EBADF);
	OK(rbd_remove(io, name));
	return finish(cluster, io);
}
