;; The Internet checksum (RFC 1071) over the arena, with SIMD.
;;
;; Sums little-endian 16-bit words, 64 bytes a step, into 32-bit lanes (extadd_pairwise), spills the lanes into a 64-bit total
;; before they can overflow, and swaps the bytes of the folded result once: RFC 1071 §2(B), byte order independence.
(module
  (import "arena" "memory" (memory 1))

  ;; sum(at, length, initial) -> folded 16-bit sum of `length` bytes at `at` plus `initial`, in network order
  (func (export "sum") (param $at i32) (param $length i32) (param $initial i32) (result i32)
    (local $total i64)
    (local $end i32)
    (local $block i32)
    (local $a v128)
    (local $b v128)

    (local.set $end (i32.add (local.get $at) (local.get $length)))
    (block $blocks_done
      (loop $blocks
        ;; At most 64 KiB a block: 1024 steps of at most 4 * 65535 a lane stay below 2^32.
        (local.set $block (i32.and (i32.sub (local.get $end) (local.get $at)) (i32.const -64)))
        (br_if $blocks_done (i32.eqz (local.get $block)))
        (if (i32.gt_u (local.get $block) (i32.const 65536)) (then (local.set $block (i32.const 65536))))
        (local.set $block (i32.add (local.get $at) (local.get $block)))
        (local.set $a (v128.const i32x4 0 0 0 0))
        (local.set $b (v128.const i32x4 0 0 0 0))
        (loop $steps
          (local.set $a (i32x4.add (local.get $a) (i32x4.extadd_pairwise_i16x8_u (v128.load align=1 (local.get $at)))))
          (local.set $b (i32x4.add (local.get $b) (i32x4.extadd_pairwise_i16x8_u (v128.load offset=16 align=1 (local.get $at)))))
          (local.set $a (i32x4.add (local.get $a) (i32x4.extadd_pairwise_i16x8_u (v128.load offset=32 align=1 (local.get $at)))))
          (local.set $b (i32x4.add (local.get $b) (i32x4.extadd_pairwise_i16x8_u (v128.load offset=48 align=1 (local.get $at)))))
          (local.set $at (i32.add (local.get $at) (i32.const 64)))
          (br_if $steps (i32.lt_u (local.get $at) (local.get $block))))
        (local.set $a (i64x2.add
          (i64x2.add (i64x2.extend_low_i32x4_u (local.get $a)) (i64x2.extend_high_i32x4_u (local.get $a)))
          (i64x2.add (i64x2.extend_low_i32x4_u (local.get $b)) (i64x2.extend_high_i32x4_u (local.get $b)))))
        (local.set $total (i64.add (local.get $total)
          (i64.add (i64x2.extract_lane 0 (local.get $a)) (i64x2.extract_lane 1 (local.get $a)))))
        (br $blocks)))

    ;; Less than 64 bytes: words of 32 bits, then what is left of one.
    (block $words_done
      (loop $words
        (br_if $words_done (i32.lt_u (i32.sub (local.get $end) (local.get $at)) (i32.const 4)))
        (local.set $total (i64.add (local.get $total) (i64.load32_u align=1 (local.get $at))))
        (local.set $at (i32.add (local.get $at) (i32.const 4)))
        (br $words)))
    (if (i32.ge_u (i32.sub (local.get $end) (local.get $at)) (i32.const 2)) (then
      (local.set $total (i64.add (local.get $total) (i64.load16_u align=1 (local.get $at))))
      (local.set $at (i32.add (local.get $at) (i32.const 2)))))
    (if (i32.lt_u (local.get $at) (local.get $end)) (then
      (local.set $total (i64.add (local.get $total) (i64.load8_u (local.get $at))))))

    ;; Fold to 16 bits, swap, add the initial sum, fold again.
    (local.set $total (i64.add (i64.and (local.get $total) (i64.const 0xffffffff)) (i64.shr_u (local.get $total) (i64.const 32))))
    (local.set $total (call $fold (local.get $total)))
    (local.set $total (i64.or
      (i64.shr_u (local.get $total) (i64.const 8))
      (i64.and (i64.shl (local.get $total) (i64.const 8)) (i64.const 0xff00))))
    (i32.wrap_i64 (call $fold (i64.add (local.get $total) (i64.extend_i32_u (local.get $initial))))))

  ;; One's complement fold of a value below 2^33 to 16 bits.
  (func $fold (param $value i64) (result i64)
    (local.set $value (i64.add (i64.and (local.get $value) (i64.const 0xffff)) (i64.shr_u (local.get $value) (i64.const 16))))
    (local.set $value (i64.add (i64.and (local.get $value) (i64.const 0xffff)) (i64.shr_u (local.get $value) (i64.const 16))))
    (i64.add (i64.and (local.get $value) (i64.const 0xffff)) (i64.shr_u (local.get $value) (i64.const 16)))))
