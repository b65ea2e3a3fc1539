# The first sector of a disk, for a guest that shows in a moment that it lives on it: what it reads from the third sector goes to
# the serial port, and into the fourth, which is written by the BIOS. Then it turns the machine off.
#
#   as --32 boot_sector.s -o boot.o && ld -m elf_i386 -Ttext=0x7c00 --oformat=binary -o boot.bin boot.o
        .code16
        .globl _start
_start:
        xorw %ax, %ax
        movw %ax, %ds
        movw %ax, %es
        movw %ax, %ss
        movw $0x7c00, %sp
        cld
        movb %dl, disk

        movw $0x0201, %ax               # read one sector
        movw $3, %cx
        call transfer
        movw $0x8000, %si
1:      lodsb
        testb %al, %al
        jz 3f
        movb %al, %bl
        movw $0x3fd, %dx
2:      inb %dx, %al                    # until the port takes a byte
        testb $0x20, %al
        jz 2b
        movw $0x3f8, %dx
        movb %bl, %al
        outb %al, %dx
        jmp 1b
3:      movw $0x0301, %ax               # write one sector
        movw $4, %cx
        call transfer

        movw $0x5301, %ax               # APM: connect, take version 1.2, off
        xorw %bx, %bx
        int $0x15
        movw $0x530e, %ax
        xorw %bx, %bx
        movw $0x0102, %cx
        int $0x15
        movw $0x5307, %ax
        movw $1, %bx
        movw $3, %cx
        int $0x15
halt:   hlt
        jmp halt

transfer:                               # %ax: function and number of sectors, %cx: the sector, counted from 1
        movb disk, %dl
        xorb %dh, %dh
        movw $0x8000, %bx
        int $0x13
        jc halt
        ret

disk:   .byte 0
        .org 510
        .word 0xaa55
