/* soak POOL NAME OPERATIONS CYCLES: a client that lives for long does not grow.
 *
 * OPERATIONS asynchronous ones of every kind, DEPTH of them in flight; then CYCLES times an image is opened, used and
 * closed; then the same with a connection to the cluster of its own each time. Each part is sampled LEGS times, when nothing
 * is in flight and caches are emptied: memory in use, resident memory, threads and descriptors. The first third of each part
 * warms up. What the rest may add to the most that was seen until then is in `bounds`.
 *
 * Memory in use is what malloc has given out: freed memory that malloc keeps is in the resident size and not in it. */
#include "capi.h"
#include <dirent.h>
#include <limits.h>
#include <malloc.h>
#include <pthread.h>

enum { SIZE = 256 << 20, DEPTH = 32, MOST = 64 << 10, BLOCK = 4096, LEGS = 15, WARM = LEGS / 3 };

struct sample {
	long heap, resident, threads, descriptors; /* memory in KiB */
};
/* Heap: what grows with operations or cycles passes it in a long run, at 4 bytes for each of 700,000 operations.
 * Resident: the round of garbage collection that may begin after the warm-up, and malloc's arenas, which come to rest
 * slowly: 82 to 113 MiB at the end of the warm-up of 20,000 operations, 106 to 121 after 60,000, 128 after a million.
 * Threads: the runtime's for blocking calls come and go. Descriptors: so do connections to OSDs. */
static const struct sample bounds = { 3 << 10, 48 << 10, 4, 4 };

static rados_ioctx_t io;
static const char *pool, *name;

static long count_entries(const char *directory)
{
	DIR *dir = opendir(directory);
	long count = 0;
	if (!dir)
		return -1;
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

static struct sample sample_now(void)
{
	struct sample now = { 0 };
	struct mallinfo2 heap = mallinfo2();
	long pages = 0, ignored;
	FILE *file = fopen("/proc/self/statm", "r");
	if (!file || fscanf(file, "%ld %ld", &ignored, &pages) != 2)
		exit(2);
	fclose(file);
	now.heap = (long)((heap.uordblks + heap.hblkhd) >> 10);
	now.resident = pages * (sysconf(_SC_PAGESIZE) >> 10);
	now.threads = count_entries("/proc/self/task");
	now.descriptors = count_entries("/proc/self/fd");
	return now;
}

static long larger(long a, long b)
{
	return a > b ? a : b;
}

static void raise_to(struct sample *most, struct sample now)
{
	most->heap = larger(most->heap, now.heap);
	most->resident = larger(most->resident, now.resident);
	most->threads = larger(most->threads, now.threads);
	most->descriptors = larger(most->descriptors, now.descriptors);
}

static void tell(const char *part, const char *when, struct sample now)
{
	printf("%s, %s: %ld KiB in use, %ld KiB resident, %ld threads, %ld descriptors\n", part, when, now.heap,
	       now.resident, now.threads, now.descriptors);
	fflush(stdout);
}

/* Garbage collection holds a round of data now and then: such a moment is waited out, for two seconds at most. */
static struct sample settled_sample(long heap)
{
	struct sample now = sample_now();
	for (int tries = 0; now.heap > heap && tries < 100; tries++) {
		usleep(20000);
		struct sample again = sample_now();
		again.heap = again.heap < now.heap ? again.heap : now.heap;
		again.resident = larger(again.resident, now.resident);
		now = again;
	}
	return now;
}

/* Runs `leg` LEGS times and compares. */
static void in_legs(const char *part, void (*leg)(long), long each)
{
	struct sample warm = { 0 }, later = { 0 };
	char when[32];
	for (int i = 1; i <= LEGS; i++) {
		leg(each);
		struct sample now = settled_sample(i > 1 ? warm.heap + bounds.heap / 2 : LONG_MAX);
		snprintf(when, sizeof(when), "%ld", i * each);
		tell(part, when, now);
		raise_to(i <= WARM ? &warm : &later, now);
	}
	tell(part, "at most while warming up", warm);
	tell(part, "at most after that", later);
	TRUE(later.heap <= warm.heap + bounds.heap);
	TRUE(later.resident <= warm.resident + bounds.resident);
	TRUE(later.threads <= warm.threads + bounds.threads);
	TRUE(later.descriptors <= warm.descriptors + bounds.descriptors);
}

/* ---- mixed operations ---- */

struct slot {
	char data[MOST], other[BLOCK];
	bool may_differ;
	uint64_t mismatch;
};

static rbd_image_t image;
static struct slot slots[DEPTH];
static struct slot *unused[DEPTH];
static int unused_count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t returned = PTHREAD_COND_INITIALIZER;
static uint64_t random_state = 88172645463325252u;

static uint64_t any(uint64_t below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state % below;
}

static void finished(rbd_completion_t c, void *arg)
{
	struct slot *slot = arg;
	ssize_t result = rbd_aio_get_return_value(c);
	if (result < 0 && !(slot->may_differ && result == -EILSEQ)) {
		fprintf(stderr, "an operation failed: %s\n", strerror((int)-result));
		exit(1);
	}
	rbd_aio_release(c);
	pthread_mutex_lock(&lock);
	unused[unused_count++] = slot;
	pthread_cond_signal(&returned);
	pthread_mutex_unlock(&lock);
}

static struct slot *take(void)
{
	pthread_mutex_lock(&lock);
	while (unused_count == 0)
		pthread_cond_wait(&returned, &lock);
	struct slot *slot = unused[--unused_count];
	pthread_mutex_unlock(&lock);
	return slot;
}

static void drain(void)
{
	pthread_mutex_lock(&lock);
	while (unused_count < DEPTH)
		pthread_cond_wait(&returned, &lock);
	pthread_mutex_unlock(&lock);
}

static int start(struct slot *slot, rbd_completion_t c)
{
	/* Mostly single blocks, sometimes anything. */
	uint64_t len = any(4) ? BLOCK : 1 + any(MOST);
	uint64_t at = any(8) ? any(SIZE / BLOCK - MOST / BLOCK) * BLOCK : any(SIZE - MOST);
	uint64_t what = any(100);
	slot->may_differ = false;
	if (what < 45) {
		memset(slot->data, (int)any(256), len);
		return rbd_aio_write(image, at, len, slot->data, c);
	}
	if (what < 80)
		return rbd_aio_read(image, at, len, slot->data, c);
	if (what < 85)
		return rbd_aio_discard(image, at, len, c);
	if (what < 90)
		return rbd_aio_write_zeroes(image, at, len, c, any(2) ? RBD_WRITE_ZEROES_FLAG_THICK_PROVISION : 0, 0);
	if (what < 95)
		return rbd_aio_writesame(image, at, 512 * 16, slot->data, 512, c, 0);
	if (what < 99) {
		slot->may_differ = true;
		memset(slot->other, 0, BLOCK);
		return rbd_aio_compare_and_write(image, at / BLOCK * BLOCK, BLOCK, slot->other, slot->data, c,
						 &slot->mismatch, 0);
	}
	return rbd_aio_flush(image, c);
}

static void operations(long count)
{
	rbd_completion_t c;
	for (long i = 0; i < count; i++) {
		struct slot *slot = take();
		if (rbd_aio_create_completion(slot, finished, &c) < 0 || start(slot, c) < 0) {
			fprintf(stderr, "an operation did not start\n");
			exit(1);
		}
	}
	drain();
	OK(rbd_flush(image));
	OK(rbd_invalidate_cache(image));
}

/* ---- opening and closing ---- */

static int result_of(int started, rbd_completion_t c)
{
	OK(started);
	OK(rbd_aio_wait_for_complete(c));
	int result = (int)rbd_aio_get_return_value(c);
	rbd_aio_release(c);
	return result;
}

static rbd_completion_t fresh(void)
{
	rbd_completion_t c = NULL;
	OK(rbd_aio_create_completion(NULL, NULL, &c));
	return c;
}

static void watched(void *arg)
{
	(void)arg;
}

/* Enough garbage, often enough, that it is being collected when the image is closed. */
static void overwrite(rbd_image_t opened)
{
	static char data[MOST];
	for (int i = 0; i < 24; i++)
		IS(rbd_write(opened, any(SIZE / MOST) * MOST, sizeof(data), data), sizeof(data));
	OK(rbd_flush(opened));
}

static void use(rados_ioctx_t in, long number)
{
	char data[BLOCK] = { 0 };
	uint64_t watch;
	rbd_image_t opened = NULL;
	rbd_completion_t c;
	bool read_only = number % 3 == 2, plain = number % 2;
	if (plain)
		OK(read_only ? rbd_open_read_only(in, name, &opened, NULL) : rbd_open(in, name, &opened, NULL));
	else
		c = fresh(), OK(result_of(read_only ? rbd_aio_open_read_only(in, name, &opened, NULL, c)
						    : rbd_aio_open(in, name, &opened, NULL, c), c));
	OK(rbd_update_watch(opened, &watch, watched, NULL));
	IS(rbd_read(opened, any(SIZE - BLOCK), BLOCK, data), BLOCK);
	if (!read_only)
		overwrite(opened);
	OK(rbd_update_unwatch(opened, watch));
	/* Every other time with an operation in flight. */
	c = fresh();
	OK(rbd_aio_read(opened, 0, BLOCK, data, c));
	if (number % 4 < 2) {
		OK(rbd_close(opened));
	} else {
		rbd_completion_t closed = fresh();
		OK(result_of(rbd_aio_close(opened, closed), closed));
	}
	IS(result_of(0, c), BLOCK);
}

static void cycles(long count)
{
	for (long i = 0; i < count; i++)
		use(io, i);
}

static void connections(long count)
{
	rados_t cluster;
	for (long i = 0; i < count; i++) {
		rados_ioctx_t own = open_pool(&cluster, pool);
		use(own, i);
		rados_ioctx_destroy(own);
		rados_shutdown(cluster);
	}
}

int main(int argc, char **argv)
{
	rados_t cluster;
	int order = 0;
	if (argc != 5)
		return 2;
	pool = argv[1];
	name = argv[2];
	long operation_count = atol(argv[3]), cycle_count = atol(argv[4]);
	io = open_pool(&cluster, pool);
	OK(rbd_create(io, name, SIZE, &order));
	if (rbd_open(io, name, &image, NULL) < 0)
		return 2;
	for (int i = 0; i < DEPTH; i++)
		unused[unused_count++] = &slots[i];
	in_legs("operations", operations, (operation_count + LEGS - 1) / LEGS);
	OK(rbd_close(image));
	in_legs("open and close", cycles, cycle_count / LEGS);
	in_legs("connect, open and close", connections, cycle_count / LEGS);
	OK(rbd_remove(io, name));
	return finish(cluster, io);
}
