/* What the C programs that test the API share: a pool to work in, and checks that say what went wrong. */
#ifndef CAPI_H
#define CAPI_H

#include <errno.h>
#include <rados/librados.h>
#include <rbd/librbd.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Deprecated functions are part of the API, and clients call them. */
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

static int failures;

/* Compares two integers and goes on after a difference, so that one run shows them all. */
#define IS(expression, wanted) \
	check_is(#expression, (long long)(expression), (long long)(wanted), __LINE__)
#define OK(expression) IS(expression, 0)
#define TRUE(expression) check_is(#expression, !!(expression), 1, __LINE__)

static inline void check_is(const char *what, long long is, long long wanted, int line)
{
	if (is == wanted)
		return;
	failures++;
	fprintf(stderr, "line %d: %s is %lld (%s), not %lld\n", line, what, is, is < 0 ? strerror(-is) : "",
		wanted);
}

static inline void fill(char *buffer, size_t len, unsigned seed)
{
	for (size_t i = 0; i < len; i++) {
		seed = seed * 1103515245 + 12345;
		buffer[i] = (char)(seed >> 16);
	}
}

static inline bool all(const char *buffer, size_t len, char value)
{
	for (size_t i = 0; i < len; i++)
		if (buffer[i] != value)
			return false;
	return true;
}

/* A connection and a pool from CEPH_CONF; the program ends without them. */
static inline rados_ioctx_t open_pool(rados_t *cluster, const char *pool)
{
	rados_ioctx_t io;
	if (rados_create(cluster, "admin") < 0 || rados_conf_read_file(*cluster, NULL) < 0 ||
	    rados_connect(*cluster) < 0 || rados_ioctx_create(*cluster, pool, &io) < 0) {
		fprintf(stderr, "cannot open pool %s\n", pool);
		exit(2);
	}
	return io;
}

/* A new image, opened; a handle of it that is closed already; and a completion. The program ends without the image. */
static inline void make_handles(rados_ioctx_t pool, const char *image_name, uint64_t size, int order,
				rbd_image_t *image, rbd_image_t *closed, rbd_completion_t *completion)
{
	OK(rbd_create(pool, image_name, size, &order));
	OK(rbd_open(pool, image_name, closed, NULL));
	OK(rbd_close(*closed));
	if (rbd_open(pool, image_name, image, NULL) < 0)
		exit(2);
	OK(rbd_aio_create_completion(NULL, NULL, completion));
}

/* Counts its calls in *arg, and checks that it never runs over. */
static inline int note_progress(uint64_t offset, uint64_t total, void *arg)
{
	TRUE(offset <= total && total > 0);
	++*(int *)arg;
	return 0;
}

static inline int cancel_progress(uint64_t offset, uint64_t total, void *arg)
{
	(void)offset, (void)total, (void)arg;
	return -ECANCELED;
}

static inline int finish(rados_t cluster, rados_ioctx_t io)
{
	rados_ioctx_destroy(io);
	rados_shutdown(cluster);
	if (failures)
		fprintf(stderr, "%d checks failed\n", failures);
	return failures ? 1 : 0;
}

#endif
