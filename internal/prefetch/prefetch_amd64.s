#include "textflag.h"

// func Four(p unsafe.Pointer)
TEXT ·Four(SB), NOSPLIT, $0-8
	MOVQ p+0(FP), AX
	PREFETCHT0 (AX)
	PREFETCHT0 64(AX)
	PREFETCHT0 128(AX)
	PREFETCHT0 192(AX)
	RET

// func Through(p unsafe.Pointer)
TEXT ·Through(SB), NOSPLIT, $0-8
	MOVQ p+0(FP), AX
	MOVQ (AX), AX
	PREFETCHT0 (AX)
	PREFETCHT0 64(AX)
	PREFETCHT0 128(AX)
	RET

// func Both(object, p unsafe.Pointer)
TEXT ·Both(SB), NOSPLIT, $0-16
	MOVQ object+0(FP), AX
	MOVQ p+8(FP), CX
	PREFETCHT0 (AX)
	PREFETCHT0 64(AX)
	MOVQ (CX), AX
	PREFETCHT0 (AX)
	PREFETCHT0 64(AX)
	PREFETCHT0 128(AX)
	RET
