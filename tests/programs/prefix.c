/*
 * Shows whether what survives a crash of the client is a prefix of the order in which it wrote.
 *
 *   prefix write  POOL IMAGE STATE SEED COUNT DEPTH FLUSH_EVERY
 *       Sends COUNT overlapping writes and write-zeroes, numbered on from the state in the file STATE (which may be
 *       missing), DEPTH of them in flight, with a flush before the first and after every FLUSH_EVERY. Prints "flushed N"
 *       when a flush that came after operation N has succeeded, and "done N" at the end. Meant to be killed.
 *       In an image of at least 128 MiB, large and small writes behind what is checked come between: they fill whole segments.
 *   prefix check  POOL IMAGE STATE SEED FLUSHED
 *       Opens the image, writes one sector outside of what is checked, so that it is the image's writer from then on and
 *       nothing that the dead one still had on its way can land later, finds the number P up to which operations are on it, and fails unless every sector holds what
 *       the operations up to P, and no later one, left there, and P >= FLUSHED. Prints "prefix P" and makes it the state.
 *   prefix look   POOL IMAGE STATE SEED SNAPSHOT SAVED
 *       The same of a snapshot that was taken while the operations of SEED were sent from STATE on. Changes nothing, and makes what
 *       it finds the state in the file SAVED.
 *   prefix same   POOL IMAGE STATE SNAPSHOT
 *       Fails unless the snapshot, or the image where SNAPSHOT is -, is exactly as STATE has it.
 *
 * Every sector that is written carries the seed, the number of the operation, and its own address, so that the check
 * needs no record of what was sent: operation N of a seed is a function of both.
 */
#include <errno.h>
#include <pthread.h>
#include <rados/librados.h>
#include <rbd/librbd.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECTOR 512
#define SPAN (8u << 20) /* the operations stay within, so that they overlap often */
#define SECTORS (SPAN / SECTOR)
#define MAX_OPERATION 128 /* sectors */
#define DEPTH_MAX 256
#define BULK_AT (64u << 20) /* large and small writes go there, which nobody checks */
#define BULK_SPAN (64u << 20)
#define BULK_EVERY 500
#define MAGIC UINT64_C(0x7866657270647376)

struct stamp {
    uint64_t magic, seed, number, sector;
};
/* A sector's last writer; number 0 is a sector of zeros: never written, or zeroed. */
struct writer {
    uint64_t seed, number;
};
struct state {
    uint64_t number; /* of the last operation on the image */
    struct writer sectors[SECTORS];
};
struct operation {
    uint64_t sector, count;
    bool zero;
};

static rados_t cluster;
static rados_ioctx_t pool;
static rbd_image_t image;
static struct state state;

static void die(const char *what, int error)
{
    fprintf(stderr, "prefix: %s: %s\n", what, strerror(error < 0 ? -error : error));
    exit(2);
}

static void must(const char *what, int result)
{
    if (result < 0)
        die(what, result);
}

static uint64_t number_of(const char *text)
{
    char *end;
    uint64_t number = strtoull(text, &end, 10);

    if (!*text || *end)
        die(text, EINVAL);
    return number;
}

/* snapshot: NULL for writing */
static void open_image(const char *pool_name, const char *name, const char *snapshot)
{
    must("rados_create", rados_create(&cluster, "admin"));
    must("rados_conf_read_file", rados_conf_read_file(cluster, NULL));
    must("rados_connect", rados_connect(cluster));
    must("rados_ioctx_create", rados_ioctx_create(cluster, pool_name, &pool));
    if (!snapshot)
        must("rbd_open", rbd_open(pool, name, &image, NULL));
    else
        must("rbd_open_read_only", rbd_open_read_only(pool, name, &image, strcmp(snapshot, "-") ? snapshot : NULL));
}

static void close_image(void)
{
    must("rbd_close", rbd_close(image));
    rados_ioctx_destroy(pool);
    rados_shutdown(cluster);
}

static uint64_t mixed(uint64_t x) /* splitmix64 */
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static struct operation operation_of(uint64_t seed, uint64_t number)
{
    uint64_t random = mixed(mixed(seed) ^ number);
    struct operation op;

    op.zero = random % 16 == 0;
    random /= 16;
    op.count = 1 + random % (random / 128 % 8 ? 16 : MAX_OPERATION); /* mostly small */
    random /= 1024;
    op.sector = random % (SECTORS - op.count + 1);
    return op;
}

static void apply(uint64_t seed, uint64_t number)
{
    struct operation op = operation_of(seed, number);

    for (uint64_t i = 0; i < op.count; i++) {
        state.sectors[op.sector + i].seed = op.zero ? 0 : seed;
        state.sectors[op.sector + i].number = op.zero ? 0 : number;
    }
    state.number = number;
}

static void load_state(const char *path)
{
    FILE *file = fopen(path, "rb");

    if (!file) {
        if (errno != ENOENT)
            die(path, errno);
        return;
    }
    if (fread(&state, sizeof state, 1, file) != 1)
        die(path, EIO);
    fclose(file);
}

static void save_state(const char *path)
{
    FILE *file = fopen(path, "wb");

    if (!file || fwrite(&state, sizeof state, 1, file) != 1 || fclose(file) != 0)
        die(path, errno);
}

/* ---- write ---- */

struct slot {
    unsigned char data[MAX_OPERATION * SECTOR];
    uint64_t number;
    bool flush;
};

static struct slot slots[DEPTH_MAX];
static struct slot *unused[DEPTH_MAX];
static size_t unused_count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t returned = PTHREAD_COND_INITIALIZER;

static void finished(rbd_completion_t completion, void *arg)
{
    struct slot *slot = arg;
    ssize_t result = rbd_aio_get_return_value(completion);
    char line[32];

    if (result < 0)
        die(slot->flush ? "flush" : "write", (int)result);
    if (slot->flush) { /* one write(2), so that the reader of the pipe has all of it or nothing */
        int length = snprintf(line, sizeof line, "flushed %llu\n", (unsigned long long)slot->number);
        if (write(STDOUT_FILENO, line, (size_t)length) != length)
            _exit(3);
    }
    rbd_aio_release(completion);
    pthread_mutex_lock(&lock);
    unused[unused_count++] = slot;
    pthread_cond_signal(&returned);
    pthread_mutex_unlock(&lock);
}

static struct slot *take_slot(void)
{
    struct slot *slot;

    pthread_mutex_lock(&lock);
    while (unused_count == 0)
        pthread_cond_wait(&returned, &lock);
    slot = unused[--unused_count];
    pthread_mutex_unlock(&lock);
    return slot;
}

static void send_operation(uint64_t seed, uint64_t number)
{
    struct operation op = operation_of(seed, number);
    struct slot *slot = take_slot();
    rbd_completion_t completion;
    uint64_t offset = op.sector * SECTOR;
    size_t length = op.count * SECTOR;

    slot->number = number;
    slot->flush = false;
    must("rbd_aio_create_completion", rbd_aio_create_completion(slot, finished, &completion));
    if (op.zero) {
        must("rbd_aio_write_zeroes", rbd_aio_write_zeroes(image, offset, length, completion, 0, 0));
        return;
    }
    for (uint64_t i = 0; i < op.count; i++) {
        struct stamp stamp = {MAGIC, seed, number, op.sector + i};

        memset(slot->data + i * SECTOR, (int)(number & 0xff), SECTOR);
        memcpy(slot->data + i * SECTOR, &stamp, sizeof stamp);
        memcpy(slot->data + (i + 1) * SECTOR - sizeof stamp, &stamp, sizeof stamp);
    }
    must("rbd_aio_write", rbd_aio_write(image, offset, length, (const char *)slot->data, completion));
}

static void send_flush(uint64_t number)
{
    struct slot *slot = take_slot();
    rbd_completion_t completion;

    slot->number = number;
    slot->flush = true;
    must("rbd_aio_create_completion", rbd_aio_create_completion(slot, finished, &completion));
    must("rbd_aio_flush", rbd_aio_flush(image, completion));
}

/* Large writes, then small ones; 16 to 47 MiB of the large. */
static void write_bulk(uint64_t random)
{
    static char data[1 << 20];

    memset(data, 0xb5, sizeof data);
    for (uint64_t i = 0; i < 16 + random % 32; i++)
        must("rbd_write", (int)rbd_write(image, BULK_AT + (i * sizeof data) % BULK_SPAN, sizeof data, data));
    for (uint64_t i = 0; i < random % 5000; i++)
        must("rbd_write", (int)rbd_write(image, BULK_AT + (i * 8192) % BULK_SPAN, 4096, data));
}

static void write_operations(uint64_t seed, uint64_t count, size_t depth, uint64_t flush_every)
{
    uint64_t last = state.number + count, size;

    for (size_t i = 0; i < depth; i++)
        unused[unused_count++] = &slots[i];
    must("rbd_get_size", rbd_get_size(image, &size));
    must("rbd_flush", rbd_flush(image)); /* from here on a write-back cache is one */
    dprintf(STDOUT_FILENO, "flushed %llu\n", (unsigned long long)state.number);
    for (uint64_t number = state.number + 1; number <= last; number++) {
        if (size >= BULK_AT + BULK_SPAN && number % BULK_EVERY == 0)
            write_bulk(seed ^ number * 0x9e3779b9);
        send_operation(seed, number);
        if (number % flush_every == 0)
            send_flush(number);
    }
    for (size_t i = 0; i < depth; i++)
        take_slot();
    must("rbd_flush", rbd_flush(image));
    dprintf(STDOUT_FILENO, "flushed %llu\ndone %llu\n", (unsigned long long)last, (unsigned long long)last);
}

/* ---- check ---- */

static struct writer found[SECTORS];

/* Who wrote a sector, from the sector itself; a sector that nobody can have written ends the check. */
static struct writer writer_of(const unsigned char *data, uint64_t sector)
{
    static const unsigned char zeros[SECTOR];
    struct writer writer = {0, 0};
    struct stamp first, last;

    if (memcmp(data, zeros, SECTOR) == 0)
        return writer;
    memcpy(&first, data, sizeof first);
    memcpy(&last, data + SECTOR - sizeof last, sizeof last);
    if (first.magic != MAGIC || first.sector != sector || memcmp(&first, &last, sizeof first) != 0) {
        printf("sector %llu holds what was never written there (magic %llx, sector %llu, seed %llu, number %llu)\n",
               (unsigned long long)sector, (unsigned long long)first.magic, (unsigned long long)first.sector,
               (unsigned long long)first.seed, (unsigned long long)first.number);
        exit(1);
    }
    writer.seed = first.seed;
    writer.number = first.number;
    return writer;
}

static uint64_t read_writers(uint64_t seed) /* returns the latest operation of this seed that is to be seen */
{
    static unsigned char data[1 << 20];
    uint64_t latest = 0;

    for (uint64_t offset = 0; offset < SPAN; offset += sizeof data) {
        ssize_t got = rbd_read(image, offset, sizeof data, (char *)data);
        if (got != (ssize_t)sizeof data)
            die("rbd_read", got < 0 ? (int)got : EIO);
        for (uint64_t i = 0; i < sizeof data / SECTOR; i++) {
            uint64_t sector = offset / SECTOR + i;
            found[sector] = writer_of(data + i * SECTOR, sector);
            if (found[sector].seed == seed && found[sector].number > latest)
                latest = found[sector].number;
        }
    }
    return latest;
}

static uint64_t differing(uint64_t *example)
{
    uint64_t count = 0;

    for (uint64_t i = 0; i < SECTORS; i++) {
        if (found[i].seed != state.sectors[i].seed || found[i].number != state.sectors[i].number) {
            *example = i;
            count++;
        }
    }
    return count;
}

static void take_over(void)
{
    static const char sector[SECTOR];
    ssize_t written = rbd_write(image, SPAN, sizeof sector, sector);

    if (written != (ssize_t)sizeof sector)
        die("rbd_write", written < 0 ? (int)written : EIO);
    must("rbd_flush", rbd_flush(image));
}

static int check(uint64_t seed, uint64_t flushed)
{
    uint64_t latest, example = 0, best;

    latest = read_writers(seed);
    while (state.number < latest)
        apply(seed, state.number + 1);
    best = differing(&example);
    /* Zeroing leaves no stamp: the operations after the latest stamp may have been on the image too, while they zero. */
    while ((best != 0 || state.number < flushed) && operation_of(seed, state.number + 1).zero) {
        apply(seed, state.number + 1);
        best = differing(&example);
    }
    if (best != 0) {
        printf("not a prefix: with %llu operations, %llu sectors differ; sector %llu should have operation %llu and has %llu\n",
               (unsigned long long)state.number, (unsigned long long)best, (unsigned long long)example,
               (unsigned long long)state.sectors[example].number, (unsigned long long)found[example].number);
        return 1;
    }
    if (state.number < flushed) {
        printf("lost: %llu were flushed, %llu are there\n", (unsigned long long)flushed, (unsigned long long)state.number);
        return 1;
    }
    printf("prefix %llu\n", (unsigned long long)state.number);
    return 0;
}

static int same(void)
{
    uint64_t example = 0, count;

    read_writers(0);
    count = differing(&example);
    if (count != 0) {
        printf("%llu sectors differ; sector %llu should have operation %llu of seed %llu and has %llu of %llu\n",
               (unsigned long long)count, (unsigned long long)example, (unsigned long long)state.sectors[example].number,
               (unsigned long long)state.sectors[example].seed, (unsigned long long)found[example].number,
               (unsigned long long)found[example].seed);
        return 1;
    }
    printf("same\n");
    return 0;
}

int main(int argc, char **argv)
{
    int result = 0;

    if (argc == 9 && strcmp(argv[1], "write") == 0) {
        size_t depth = number_of(argv[7]);
        if (depth == 0 || depth > DEPTH_MAX || number_of(argv[8]) == 0)
            die("depth or flush interval", EINVAL);
        load_state(argv[4]);
        open_image(argv[2], argv[3], NULL);
        write_operations(number_of(argv[5]), number_of(argv[6]), depth, number_of(argv[8]));
    } else if (argc == 7 && strcmp(argv[1], "check") == 0) {
        load_state(argv[4]);
        open_image(argv[2], argv[3], NULL);
        take_over();
        result = check(number_of(argv[5]), number_of(argv[6]));
        if (result == 0)
            save_state(argv[4]);
    } else if (argc == 8 && strcmp(argv[1], "look") == 0) {
        load_state(argv[4]);
        open_image(argv[2], argv[3], argv[6]);
        result = check(number_of(argv[5]), 0);
        if (result == 0)
            save_state(argv[7]);
    } else if (argc == 6 && strcmp(argv[1], "same") == 0) {
        load_state(argv[4]);
        open_image(argv[2], argv[3], argv[5]);
        result = same();
    } else {
        fprintf(stderr, "usage: prefix write POOL IMAGE STATE SEED COUNT DEPTH FLUSH_EVERY\n"
                        "       prefix check POOL IMAGE STATE SEED FLUSHED\n"
                        "       prefix look POOL IMAGE STATE SEED SNAPSHOT SAVED\n"
                        "       prefix same POOL IMAGE STATE SNAPSHOT\n");
        return 2;
    }
    close_image();
    return result;
}
