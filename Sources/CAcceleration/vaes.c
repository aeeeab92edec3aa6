// AES-GCM (NIST SP 800-38D) for CPUs that have VAES and VPCLMULQDQ but no AVX-512, where libipsec-mb and OpenSSL 3.0 fall
// back to AES-NI. Sixteen blocks at a time in 256-bit registers; the hash of sixteen blocks is reduced once. No branch and
// no address depends on a key or on data.

#include "engine.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <openssl/crypto.h>
#include <string.h>

#define VAES __attribute__((target("avx2,vaes,vpclmulqdq,aes,pclmul,sse4.1")))
#define INLINE VAES static inline __attribute__((always_inline))

// Blocks of one step, and the powers of the hash key for them.
enum { STEP = 16, STEP_BYTES = STEP * GCM_BLOCK, MAX_ROUNDS = 14 };

typedef struct vaes_state {
    _Alignas(64) __m128i keys[MAX_ROUNDS + 1];
    // H^16 … H^1, in the representation of `multiply`, and each with its halves added.
    _Alignas(64) __m128i powers[STEP];
    _Alignas(64) __m128i folded[STEP];
    __m128i first;    // E(K, J0), which covers the tag
    __m128i counter;  // the next counter block, bytes reversed: the 32 bits that count are the lowest
    __m128i hash;
    // A block that an update left unfinished: its key stream, and as much of its ciphertext as there was.
    uint8_t stream[GCM_BLOCK], partial[GCM_BLOCK];
    uint64_t aad_bytes, data_bytes;
    int rounds;
    unsigned filled;
} vaes_state;

// ---- Field arithmetic ----------------------------------------------------------------------------------------------
//
// GHASH numbers the bits of a block from its first byte's highest, so a block with its bytes reversed is a polynomial with
// its bits reversed. Keys are multiplied by x beforehand, which makes up for the bit that a reflected product is short.

INLINE __m128i reverse(__m128i block) {
    return _mm_shuffle_epi8(block, _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
}

INLINE __m256i reverse_both(__m256i blocks) {
    return _mm256_shuffle_epi8(
        blocks, _mm256_broadcastsi128_si256(_mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)));
}

// x^128 + x^127 + x^126 + x^121 + 1 without its ends, reflected.
INLINE __m128i polynomial(void) { return _mm_set_epi64x((long long)0xc200000000000000, 1); }

// A 256-bit product, as the sums of its low, middle and high part, reduced to 128 bits.
INLINE __m128i reduce(__m128i low, __m128i middle, __m128i high) {
    const __m128i p = polynomial();
    middle = _mm_xor_si128(middle, _mm_xor_si128(_mm_shuffle_epi32(low, 0x4e), _mm_clmulepi64_si128(low, p, 0x10)));
    return _mm_xor_si128(
        high, _mm_xor_si128(_mm_shuffle_epi32(middle, 0x4e), _mm_clmulepi64_si128(middle, p, 0x10)));
}

INLINE __m128i multiply(__m128i a, __m128i key) {
    const __m128i low = _mm_clmulepi64_si128(a, key, 0x00);
    const __m128i high = _mm_clmulepi64_si128(a, key, 0x11);
    const __m128i middle = _mm_xor_si128(_mm_clmulepi64_si128(a, key, 0x01), _mm_clmulepi64_si128(a, key, 0x10));
    return reduce(low, middle, high);
}

typedef struct sums {
    __m256i low, middle, high;
} sums;

// Adds the product of two blocks and their powers. The middle part is what Karatsuba's trick leaves of it.
INLINE void add_product(sums *s, __m256i blocks, const __m128i *powers, const __m128i *folded) {
    const __m256i keys = _mm256_load_si256((const __m256i *)(const void *)powers);
    const __m256i folded_keys = _mm256_load_si256((const __m256i *)(const void *)folded);
    s->low = _mm256_xor_si256(s->low, _mm256_clmulepi64_epi128(blocks, keys, 0x00));
    s->high = _mm256_xor_si256(s->high, _mm256_clmulepi64_epi128(blocks, keys, 0x11));
    const __m256i folded_blocks = _mm256_xor_si256(blocks, _mm256_shuffle_epi32(blocks, 0x4e));
    s->middle = _mm256_xor_si256(s->middle, _mm256_clmulepi64_epi128(folded_blocks, folded_keys, 0x00));
}

INLINE __m128i halves(__m256i v) { return _mm_xor_si128(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1)); }

INLINE __m128i total(const sums *s) {
    const __m128i low = halves(s->low), high = halves(s->high);
    return reduce(low, _mm_xor_si128(halves(s->middle), _mm_xor_si128(low, high)), high);
}

// Two blocks of the message as the hash takes them; the running hash joins the first one.
INLINE __m256i hashable(const uint8_t *blocks) {
    return reverse_both(_mm256_loadu_si256((const __m256i *)(const void *)blocks));
}

VAES static __m128i hash_step(const vaes_state *s, __m128i hash, const uint8_t *blocks) {
    sums sum = {0};
    __m256i joined = _mm256_inserti128_si256(_mm256_setzero_si256(), hash, 0);
    for (int i = 0; i < STEP / 2; i++) {
        __m256i pair = hashable(blocks + 32 * i);
        if (i == 0) pair = _mm256_xor_si256(pair, joined);
        add_product(&sum, pair, &s->powers[2 * i], &s->folded[2 * i]);
    }
    return total(&sum);
}

// Fewer blocks than a step, each with the power that its place asks for.
VAES static __m128i hash_blocks(const vaes_state *s, __m128i hash, const uint8_t *blocks, size_t count) {
    if (count == 0) return hash;
    __m128i low = _mm_setzero_si128(), middle = low, high = low;
    for (size_t i = 0; i < count; i++) {
        __m128i block = reverse(_mm_loadu_si128((const __m128i *)(const void *)(blocks + GCM_BLOCK * i)));
        if (i == 0) block = _mm_xor_si128(block, hash);
        const __m128i key = s->powers[STEP - count + i];
        low = _mm_xor_si128(low, _mm_clmulepi64_si128(block, key, 0x00));
        high = _mm_xor_si128(high, _mm_clmulepi64_si128(block, key, 0x11));
        middle = _mm_xor_si128(
            middle, _mm_xor_si128(_mm_clmulepi64_si128(block, key, 0x01), _mm_clmulepi64_si128(block, key, 0x10)));
    }
    return reduce(low, middle, high);
}

// Any number of bytes, the last block filled up with zeros.
VAES static __m128i hash_padded(const vaes_state *s, __m128i hash, const uint8_t *bytes, size_t count) {
    for (; count >= STEP_BYTES; bytes += STEP_BYTES, count -= STEP_BYTES) hash = hash_step(s, hash, bytes);
    const size_t whole = count / GCM_BLOCK;
    hash = hash_blocks(s, hash, bytes, whole);
    if (count % GCM_BLOCK != 0) {
        uint8_t last[GCM_BLOCK] = {0};
        memcpy(last, bytes + GCM_BLOCK * whole, count % GCM_BLOCK);
        hash = hash_blocks(s, hash, last, 1);
    }
    return hash;
}

VAES static __m128i hash_lengths(const vaes_state *s, __m128i hash, uint64_t first_bytes, uint64_t second_bytes) {
    // Both in bits, big endian; the lower half of a reversed block is its end.
    const __m128i lengths = _mm_set_epi64x((long long)(first_bytes * 8), (long long)(second_bytes * 8));
    return multiply(_mm_xor_si128(hash, lengths), s->powers[STEP - 1]);
}

// ---- AES -----------------------------------------------------------------------------------------------------------

INLINE __m128i encipher(const vaes_state *s, __m128i block) {
    block = _mm_xor_si128(block, s->keys[0]);
    for (int i = 1; i < s->rounds; i++) block = _mm_aesenc_si128(block, s->keys[i]);
    return _mm_aesenclast_si128(block, s->keys[s->rounds]);
}

INLINE __m256i key_for_both(const vaes_state *s, int round) { return _mm256_broadcastsi128_si256(s->keys[round]); }

// The next sixteen counter blocks, before the first round.
INLINE void count_up(vaes_state *s, __m256i blocks[STEP / 2]) {
    const __m256i key = key_for_both(s, 0);
    __m256i counters = _mm256_add_epi32(_mm256_broadcastsi128_si256(s->counter), _mm256_set_epi32(0, 0, 0, 1, 0, 0, 0, 0));
    const __m256i two = _mm256_set_epi32(0, 0, 0, 2, 0, 0, 0, 2);
#pragma clang loop unroll(full)
    for (int i = 0; i < STEP / 2; i++) {
        blocks[i] = _mm256_xor_si256(reverse_both(counters), key);
        counters = _mm256_add_epi32(counters, two);
    }
    s->counter = _mm256_castsi256_si128(counters);
}

INLINE void one_round(const vaes_state *s, int round, __m256i blocks[STEP / 2]) {
    const __m256i key = key_for_both(s, round);
#pragma clang loop unroll(full)
    for (int i = 0; i < STEP / 2; i++) blocks[i] = _mm256_aesenc_epi128(blocks[i], key);
}

INLINE void last_round(const vaes_state *s, __m256i blocks[STEP / 2]) {
    const __m256i key = key_for_both(s, s->rounds);
#pragma clang loop unroll(full)
    for (int i = 0; i < STEP / 2; i++) blocks[i] = _mm256_aesenclast_epi128(blocks[i], key);
}

// One step: enciphers sixteen counters and hashes sixteen blocks of ciphertext meanwhile, so that the units for either are
// never idle. `hashed` may be the input (deciphering) or the output of the step before (enciphering).
INLINE void crypt_step(vaes_state *s, uint8_t *out, const uint8_t *in, const uint8_t *hashed) {
    __m256i blocks[STEP / 2];
    count_up(s, blocks);
    sums sum = {0};
    const __m256i joined = _mm256_inserti128_si256(_mm256_setzero_si256(), s->hash, 0);
#pragma clang loop unroll(full)
    for (int i = 0; i < STEP / 2; i++) {
        one_round(s, i + 1, blocks);
        __m256i pair = hashable(hashed + 32 * i);
        if (i == 0) pair = _mm256_xor_si256(pair, joined);
        add_product(&sum, pair, &s->powers[2 * i], &s->folded[2 * i]);
    }
    for (int i = STEP / 2 + 1; i < s->rounds; i++) one_round(s, i, blocks);
    last_round(s, blocks);
    s->hash = total(&sum);
#pragma clang loop unroll(full)
    for (int i = 0; i < STEP / 2; i++) {
        const __m256i text = _mm256_loadu_si256((const __m256i *)(const void *)(in + 32 * i));
        _mm256_storeu_si256((__m256i *)(void *)(out + 32 * i), _mm256_xor_si256(text, blocks[i]));
    }
}

// Key stream for one step, without a hash beside it.
INLINE void stream_step(vaes_state *s, uint8_t stream[STEP_BYTES]) {
    __m256i blocks[STEP / 2];
    count_up(s, blocks);
    for (int i = 1; i < s->rounds; i++) one_round(s, i, blocks);
    last_round(s, blocks);
#pragma clang loop unroll(full)
    for (int i = 0; i < STEP / 2; i++) _mm256_storeu_si256((__m256i *)(void *)(stream + 32 * i), blocks[i]);
}

INLINE void mix(uint8_t *out, const uint8_t *in, const uint8_t *stream, size_t count) {
    size_t i = 0;
    for (; i + GCM_BLOCK <= count; i += GCM_BLOCK) {
        const __m128i text = _mm_loadu_si128((const __m128i *)(const void *)(in + i));
        const __m128i key = _mm_loadu_si128((const __m128i *)(const void *)(stream + i));
        _mm_storeu_si128((__m128i *)(void *)(out + i), _mm_xor_si128(text, key));
    }
    for (; i < count; i++) out[i] = in[i] ^ stream[i];
}

// Takes back the counters of a step that were not used.
INLINE void uncount(vaes_state *s, size_t blocks) {
    s->counter = _mm_sub_epi32(s->counter, _mm_set_epi32(0, 0, 0, (int)blocks));
}

// Whole steps.
VAES static void encrypt_steps(vaes_state *s, uint8_t *out, const uint8_t *in, size_t steps) {
    uint8_t stream[STEP_BYTES];
    stream_step(s, stream);
    mix(out, in, stream, STEP_BYTES);
    OPENSSL_cleanse(stream, sizeof stream);
    for (size_t i = 1; i < steps; i++) {
        crypt_step(s, out + STEP_BYTES * i, in + STEP_BYTES * i, out + STEP_BYTES * (i - 1));
    }
    s->hash = hash_step(s, s->hash, out + STEP_BYTES * (steps - 1));
}

VAES static void decrypt_steps(vaes_state *s, uint8_t *out, const uint8_t *in, size_t steps) {
    for (size_t i = 0; i < steps; i++) {
        crypt_step(s, out + STEP_BYTES * i, in + STEP_BYTES * i, in + STEP_BYTES * i);
    }
}

// Less than a step; the last block may be an unfinished one, which the next update or the end completes.
VAES static void crypt_rest(vaes_state *s, bool encrypt, uint8_t *out, const uint8_t *in, size_t count) {
    uint8_t stream[STEP_BYTES];
    stream_step(s, stream);
    const size_t whole = count / GCM_BLOCK, rest = count % GCM_BLOCK;
    uncount(s, STEP - whole - (rest != 0));
    if (!encrypt) {
        s->hash = hash_blocks(s, s->hash, in, whole);
        memcpy(s->partial, in + GCM_BLOCK * whole, rest);
    }
    mix(out, in, stream, count);
    if (encrypt) {
        s->hash = hash_blocks(s, s->hash, out, whole);
        memcpy(s->partial, out + GCM_BLOCK * whole, rest);
    }
    memcpy(s->stream, stream + GCM_BLOCK * whole, rest != 0 ? GCM_BLOCK : 0);
    s->filled = (unsigned)rest;
    OPENSSL_cleanse(stream, sizeof stream);
}

// ---- What the engine calls -----------------------------------------------------------------------------------------

INLINE __m128i next_key(__m128i key, __m128i assist) {
    key = _mm_xor_si128(key, _mm_slli_si128(key, 4));
    key = _mm_xor_si128(key, _mm_slli_si128(key, 8));
    return _mm_xor_si128(key, assist);
}

#define EVEN(k, before, round) next_key(k, _mm_shuffle_epi32(_mm_aeskeygenassist_si128(before, round), 0xff))
#define ODD(k, before) next_key(k, _mm_shuffle_epi32(_mm_aeskeygenassist_si128(before, 0), 0xaa))

VAES static void expand_128(__m128i *k) {
    k[1] = EVEN(k[0], k[0], 0x01);
    k[2] = EVEN(k[1], k[1], 0x02);
    k[3] = EVEN(k[2], k[2], 0x04);
    k[4] = EVEN(k[3], k[3], 0x08);
    k[5] = EVEN(k[4], k[4], 0x10);
    k[6] = EVEN(k[5], k[5], 0x20);
    k[7] = EVEN(k[6], k[6], 0x40);
    k[8] = EVEN(k[7], k[7], 0x80);
    k[9] = EVEN(k[8], k[8], 0x1b);
    k[10] = EVEN(k[9], k[9], 0x36);
}

VAES static void expand_256(__m128i *k) {
    k[2] = EVEN(k[0], k[1], 0x01);
    k[3] = ODD(k[1], k[2]);
    k[4] = EVEN(k[2], k[3], 0x02);
    k[5] = ODD(k[3], k[4]);
    k[6] = EVEN(k[4], k[5], 0x04);
    k[7] = ODD(k[5], k[6]);
    k[8] = EVEN(k[6], k[7], 0x08);
    k[9] = ODD(k[7], k[8]);
    k[10] = EVEN(k[8], k[9], 0x10);
    k[11] = ODD(k[9], k[10]);
    k[12] = EVEN(k[10], k[11], 0x20);
    k[13] = ODD(k[11], k[12]);
    k[14] = EVEN(k[12], k[13], 0x40);
}

VAES static void set_key(void *given, const uint8_t *key, size_t key_bytes) {
    vaes_state *s = given;
    s->keys[0] = _mm_loadu_si128((const __m128i *)(const void *)key);
    if (key_bytes == 16) {
        s->rounds = 10;
        expand_128(s->keys);
    } else {
        s->rounds = 14;
        s->keys[1] = _mm_loadu_si128((const __m128i *)(const void *)(key + 16));
        expand_256(s->keys);
    }
    // H, times x.
    const __m128i h = reverse(encipher(s, _mm_setzero_si128()));
    const __m128i carries = _mm_srli_epi64(h, 63);
    const __m128i top = _mm_shuffle_epi32(_mm_sub_epi64(_mm_setzero_si128(), carries), 0xee);
    __m128i key_x = _mm_or_si128(_mm_slli_epi64(h, 1), _mm_slli_si128(carries, 8));
    key_x = _mm_xor_si128(key_x, _mm_and_si128(top, polynomial()));
    s->powers[STEP - 1] = key_x;
    for (int i = STEP - 2; i >= 0; i--) s->powers[i] = multiply(s->powers[i + 1], key_x);
    for (int i = 0; i < STEP; i++) {
        s->folded[i] = _mm_xor_si128(s->powers[i], _mm_shuffle_epi32(s->powers[i], 0x4e));
    }
}

VAES static void start(void *given, const uint8_t *iv, size_t iv_bytes, const uint8_t *aad, size_t aad_bytes) {
    vaes_state *s = given;
    __m128i block;
    if (iv_bytes == GCM_DEFAULT_IV) {
        uint8_t bytes[GCM_BLOCK] = {0};
        memcpy(bytes, iv, GCM_DEFAULT_IV);
        bytes[15] = 1;
        block = _mm_loadu_si128((const __m128i *)(const void *)bytes);
    } else {
        block = reverse(hash_lengths(s, hash_padded(s, _mm_setzero_si128(), iv, iv_bytes), 0, iv_bytes));
    }
    s->first = encipher(s, block);
    s->counter = _mm_add_epi32(reverse(block), _mm_set_epi32(0, 0, 0, 1));
    s->hash = hash_padded(s, _mm_setzero_si128(), aad, aad_bytes);
    s->aad_bytes = aad_bytes;
    s->data_bytes = 0;
    s->filled = 0;
}

VAES static void update(void *given, bool encrypt, uint8_t *out, const uint8_t *in, size_t count) {
    vaes_state *s = given;
    s->data_bytes += count;
    while (s->filled > 0 && count > 0) {
        const uint8_t text = *in++;
        const uint8_t mixed = text ^ s->stream[s->filled];
        s->partial[s->filled] = encrypt ? mixed : text;
        *out++ = mixed;
        count--;
        if (++s->filled == GCM_BLOCK) {
            s->hash = hash_blocks(s, s->hash, s->partial, 1);
            s->filled = 0;
        }
    }
    const size_t steps = count / STEP_BYTES;
    if (steps > 0) (encrypt ? encrypt_steps : decrypt_steps)(s, out, in, steps);
    const size_t rest = count % STEP_BYTES;
    if (rest > 0) crypt_rest(s, encrypt, out + STEP_BYTES * steps, in + STEP_BYTES * steps, rest);
}

VAES static void finish(void *given, bool encrypt, uint8_t tag[GCM_TAG]) {
    (void)encrypt;
    vaes_state *s = given;
    s->hash = hash_padded(s, s->hash, s->partial, s->filled);
    s->filled = 0;
    const __m128i hash = reverse(hash_lengths(s, s->hash, s->aad_bytes, s->data_bytes));
    _mm_storeu_si128((__m128i *)(void *)tag, _mm_xor_si128(hash, s->first));
}

const gcm_backend *vaes_backend(void) {
    static const gcm_backend backend = {sizeof(vaes_state), set_key, start, update, finish};
    const bool able = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("vaes") &&
                      __builtin_cpu_supports("vpclmulqdq") && __builtin_cpu_supports("aes") &&
                      __builtin_cpu_supports("pclmul");
    return able ? &backend : NULL;
}

#else

const gcm_backend *vaes_backend(void) { return NULL; }

#endif
