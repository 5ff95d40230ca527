// SPDX-License-Identifier: MIT

//go:build !race

#include "textflag.h"

// func storeRelease(p *uint64, v uint64)
//
// x86-TSO: a store becomes visible after all loads and stores that come before it in the program.
TEXT ·storeRelease(SB), NOSPLIT, $0-16
	MOVQ p+0(FP), AX
	MOVQ v+8(FP), BX
	MOVQ BX, 0(AX)
	RET

// func storeRelease32(p *uint32, v uint32)
TEXT ·storeRelease32(SB), NOSPLIT, $0-12
	MOVQ p+0(FP), AX
	MOVL v+8(FP), BX
	MOVL BX, 0(AX)
	RET

// func storeReleaseBoth32(p *uint32, v uint32, q *uint32, w uint32)
TEXT ·storeReleaseBoth32(SB), NOSPLIT, $0-28
	MOVQ p+0(FP), AX
	MOVL v+8(FP), BX
	MOVQ q+16(FP), CX
	MOVL w+24(FP), DX
	MOVL BX, 0(AX)
	MOVL DX, 0(CX)
	RET

// func PrefetchToRead(at *byte)
TEXT ·PrefetchToRead(SB), NOSPLIT, $0-8
	MOVQ at+0(FP), AX
	PREFETCHT0 64(AX)
	RET

// func PrefetchAhead(base *byte, offset uint64)
TEXT ·PrefetchAhead(SB), NOSPLIT, $0-16
	MOVQ base+0(FP), AX
	ADDQ offset+8(FP), AX
	PREFETCHT0 (AX)
	RET

// func PrefetchToWrite(at *byte)
//
// The assembler does not know PREFETCHW 64(AX); on processors without it, it does nothing.
TEXT ·PrefetchToWrite(SB), NOSPLIT, $0-8
	MOVQ at+0(FP), AX
	PREFETCHT0 (AX)
	BYTE $0x0F; BYTE $0x0D; BYTE $0x48; BYTE $0x40
	RET

// func prefetchLinesToWrite(at *byte, n uint64)
//
// PREFETCHW (AX), for each line that has one of the n bytes.
TEXT ·prefetchLinesToWrite(SB), NOSPLIT, $0-16
	MOVQ at+0(FP), AX
	MOVQ n+8(FP), BX
	ADDQ AX, BX
	ANDQ $~63, AX
next:
	BYTE $0x0F; BYTE $0x0D; BYTE $0x08
	ADDQ $64, AX
	CMPQ AX, BX
	JB   next
	RET

// func Pause()
TEXT ·Pause(SB), NOSPLIT, $0-0
	PAUSE
	RET
