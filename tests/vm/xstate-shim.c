/*
 * Preloaded into Debian 12's user-mode-linux, which keeps a guest process's vector registers in a buffer sized for
 * AVX-512. The host kernel takes PTRACE_SETREGSET(NT_X86_XSTATE) only with the CPU's whole state, which on a CPU with AMX
 * is some 11 KiB, and answers EFAULT to the shorter one; the guest's first process dies of it.
 *
 * The shim completes a short buffer with the state that the process has, and takes from the guest only the components
 * that its kernel knows (x87 to PKRU). Every other ptrace request passes through as it is.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define XSTATE_MAX 65536                 /* larger than any state there is; a larger one is passed through, and fails as before */
#define XSTATE_BV 512                    /* where the bitmap of components in use stands, after the legacy area */
#define KNOWN_COMPONENTS UINT64_C(0x2ff) /* x87, SSE, AVX, MPX, AVX-512, PKRU */

static long set_xstate(long pid, void *kind, struct iovec *given)
{
    static __thread unsigned char whole[XSTATE_MAX];
    struct iovec current = {whole, sizeof whole};
    uint64_t components;

    if (given->iov_len < XSTATE_BV + sizeof components || given->iov_len >= sizeof whole ||
        syscall(SYS_ptrace, PTRACE_GETREGSET, pid, kind, &current) != 0 || current.iov_len <= given->iov_len)
        return syscall(SYS_ptrace, PTRACE_SETREGSET, pid, kind, given);
    memcpy(whole, given->iov_base, given->iov_len);
    memcpy(&components, whole + XSTATE_BV, sizeof components);
    components &= KNOWN_COMPONENTS;
    memcpy(whole + XSTATE_BV, &components, sizeof components);
    return syscall(SYS_ptrace, PTRACE_SETREGSET, pid, kind, &current);
}

long ptrace(enum __ptrace_request request, ...)
{
    va_list arguments;
    long pid, word = 0, result;
    void *address, *data;

    va_start(arguments, request);
    pid = va_arg(arguments, pid_t);
    address = va_arg(arguments, void *);
    data = va_arg(arguments, void *);
    va_end(arguments);

    switch (request) {
    case PTRACE_SETREGSET:
        if ((uintptr_t)address == NT_X86_XSTATE)
            return set_xstate(pid, address, data);
        break;
    case PTRACE_PEEKTEXT: /* the library's function returns the word, the system call stores it */
    case PTRACE_PEEKDATA:
    case PTRACE_PEEKUSER:
        result = syscall(SYS_ptrace, request, pid, address, &word);
        return result < 0 ? result : word;
    default:
        break;
    }
    return syscall(SYS_ptrace, request, pid, address, data);
}
