//! One directory used by several processes: what each of them may count on when others write, fence, lock, or are
//! killed in the middle of it. The other processes are this test binary, run again in a role.
mod child;
mod files;
mod full;
mod locks;
mod logs;
mod stopped;
