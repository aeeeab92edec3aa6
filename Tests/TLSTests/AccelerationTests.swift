import Bytes
import CAcceleration
import COpenSSL
import Glibc
import SeededRandom
import TLS
import Testing

/// AES-GCM of the provider against published vectors and against OpenSSL's own. Where the host has no acceleration the
/// tests are skipped, and say so.
@Suite(.serialized, .enabled(if: TLSAcceleration.load().isActive, "needs a CPU with VAES"))
struct AccelerationTests {
    /// An AES-GCM of one of the two providers.
    final class Cipher {
        let pointer: OpaquePointer
        let keyBytes: Int

        init(_ keyBytes: Int, accelerated: Bool) throws {
            self.keyBytes = keyBytes
            let query = accelerated ? "provider=conduit-gcm" : "provider=default"
            pointer = try #require(EVP_CIPHER_fetch(nil, keyBytes == 16 ? "AES-128-GCM" : "AES-256-GCM", query))
        }

        deinit { EVP_CIPHER_free(pointer) }
    }

    /// One message under way.
    final class Message {
        let context: OpaquePointer
        let encrypts: Bool

        init(_ cipher: Cipher, encrypt: Bool, key: [UInt8], iv: [UInt8]) throws {
            context = try #require(EVP_CIPHER_CTX_new())
            encrypts = encrypt
            let flag: Int32 = encrypt ? 1 : 0
            try #require(EVP_CipherInit_ex(context, cipher.pointer, nil, nil, nil, flag) == 1)
            try #require(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_IVLEN, Int32(iv.count), nil) == 1)
            try #require(EVP_CipherInit_ex(context, nil, nil, key, iv, flag) == 1)
        }

        deinit { EVP_CIPHER_CTX_free(context) }

        func add(_ aad: ArraySlice<UInt8>) throws {
            var count: Int32 = 0
            try aad.withUnsafeBufferPointer {
                try #require(EVP_CipherUpdate(context, nil, &count, $0.baseAddress, Int32($0.count)) == 1)
            }
        }

        func run(_ bytes: inout [UInt8], _ range: Range<Int>) throws {
            guard !range.isEmpty else { return }
            var count: Int32 = 0
            let done = bytes.withUnsafeMutableBufferPointer { all in
                let part = UnsafeMutableBufferPointer(rebasing: all[range])
                return EVP_CipherUpdate(context, part.baseAddress, &count, part.baseAddress, Int32(part.count))
            }
            try #require(done == 1 && Int(count) == range.count)
        }

        func finish() -> Bool {
            var count: Int32 = 0
            var nothing = [UInt8](repeating: 0, count: 16)
            return EVP_CipherFinal_ex(context, &nothing, &count) == 1
        }

        var tag: [UInt8] {
            get throws {
                var tag = [UInt8](repeating: 0, count: 16)
                try #require(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, 16, &tag) == 1)
                return tag
            }
        }

        func expect(_ tag: [UInt8]) throws {
            var tag = tag
            try #require(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, Int32(tag.count), &tag) == 1)
        }
    }

    /// One key for many messages, in place and without Swift's arrays: what a test of every length needs to be quick.
    final class Run {
        let context: OpaquePointer
        let flag: Int32

        init(_ cipher: Cipher, encrypt: Bool, key: [UInt8]) throws {
            context = try #require(EVP_CIPHER_CTX_new())
            flag = encrypt ? 1 : 0
            try #require(EVP_CipherInit_ex(context, cipher.pointer, nil, key, nil, flag) == 1)
        }

        deinit { EVP_CIPHER_CTX_free(context) }

        /// Seals or opens `bytes`. `tag` is written when sealing and compared when opening.
        func callAsFunction(
            _ iv: [UInt8], _ aad: [UInt8], _ bytes: UnsafeMutableBufferPointer<UInt8>, _ tag: inout [UInt8]
        ) -> Bool {
            var count: Int32 = 0
            guard EVP_CipherInit_ex(context, nil, nil, nil, iv, flag) == 1,
                flag == 1 || EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, 16, &tag) == 1,
                aad.isEmpty || EVP_CipherUpdate(context, nil, &count, aad, Int32(aad.count)) == 1,
                bytes.isEmpty
                    || EVP_CipherUpdate(context, bytes.baseAddress, &count, bytes.baseAddress, Int32(bytes.count)) == 1,
                EVP_CipherFinal_ex(context, bytes.baseAddress, &count) == 1
            else { return false }
            return flag == 0 || EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, 16, &tag) == 1
        }
    }

    static func seal(
        _ cipher: Cipher, _ key: [UInt8], _ iv: [UInt8], _ aad: [UInt8], _ text: [UInt8]
    ) throws -> (text: [UInt8], tag: [UInt8]) {
        let message = try Message(cipher, encrypt: true, key: key, iv: iv)
        if !aad.isEmpty { try message.add(aad[...]) }
        var bytes = text
        try message.run(&bytes, 0..<bytes.count)
        try #require(message.finish())
        return (bytes, try message.tag)
    }

    /// The plaintext; nil when the tag does not fit.
    static func open(
        _ cipher: Cipher, _ key: [UInt8], _ iv: [UInt8], _ aad: [UInt8], _ sealed: [UInt8], _ tag: [UInt8]
    ) throws -> [UInt8]? {
        let message = try Message(cipher, encrypt: false, key: key, iv: iv)
        try message.expect(tag)
        if !aad.isEmpty { try message.add(aad[...]) }
        var bytes = sealed
        try message.run(&bytes, 0..<bytes.count)
        return message.finish() ? bytes : nil
    }

    // MARK: Vectors

    /// The vectors of the algorithm's submission to NIST (McGrew and Viega, "The Galois/Counter Mode of Operation",
    /// appendix B): key, nonce, additional data, plaintext, ciphertext, tag.
    static let vectors: [[String]] = {
        let k128 = "feffe9928665731c6d6a8f9467308308"
        let k256 = k128 + k128
        let aad = "feedfacedeadbeeffeedfacedeadbeefabaddad2"
        let text =
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5"
            + "aa0de657ba637b391aafd255"
        let short = String(text.prefix(120))
        let zero = String(repeating: "0", count: 32)
        let longIV =
            "9313225df88406e555909c5aff5269aa6a7a9538534f7da1e4c303d2a318a728c3c0c95156809539fcf0e2429a6b525416aedbf5"
            + "a0de6a57a637b39b"
        let c3 =
            "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa051ba30b39"
            + "6a0aac973d58e091473f5985"
        let c15 =
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e63"
            + "93ba7a0abcc9f662898015ad"
        return [
            [zero, "000000000000000000000000", "", "", "", "58e2fccefa7e3061367f1d57a4e7455a"],
            [
                zero, "000000000000000000000000", "", zero, "0388dace60b6a392f328c2b971b2fe78",
                "ab6e47d42cec13bdf53a67b21257bddf",
            ],
            [k128, "cafebabefacedbaddecaf888", "", text, c3, "4d5c2af327cd64a62cf35abd2ba6fab4"],
            [k128, "cafebabefacedbaddecaf888", aad, short, String(c3.prefix(120)), "5bc94fbc3221a5db94fae95ae7121a47"],
            [
                k128, "cafebabefacedbad", aad, short,
                "61353b4c2806934a777ff51fa22a4755699b2a714fcdc6f83766e5f97b6c742373806900e49f24b22b097544d4896b42"
                    + "4989b5e1ebac0f07c23f4598", "3612d2e79e3b0785561be14aaca2fccb",
            ],
            [
                k128, longIV, aad, short,
                "8ce24998625615b603a033aca13fb894be9112a5c3a211a8ba262a3cca7e2ca701e4a9a4fba43c90ccdcb281d48c7c6f"
                    + "d62875d2aca417034c34aee5", "619cc5aefffe0bfa462af43c1699d050",
            ],
            [zero + zero, "000000000000000000000000", "", "", "", "530f8afbc74536b9a963b4f1c4cb738b"],
            [
                zero + zero, "000000000000000000000000", "", zero, "cea7403d4d606b6e074ec5d3baf39d18",
                "d0d1c8a799996bf0265b98b5d48ab919",
            ],
            [k256, "cafebabefacedbaddecaf888", "", text, c15, "b094dac5d93471bdec1a502270e3cc6c"],
            [
                k256, "cafebabefacedbaddecaf888", aad, short, String(c15.prefix(120)),
                "76fc6ece0f4e1768cddf8853bb2d551b",
            ],
        ]
    }()

    @Test func publishedVectors() throws {
        for (number, vector) in Self.vectors.enumerated() {
            let parts = try vector.map { try #require(Hex.decode($0)) }
            let cipher = try Cipher(parts[0].count, accelerated: true)
            let sealed = try Self.seal(cipher, parts[0], parts[1], parts[2], parts[3])
            #expect(sealed.text.elementsEqual(parts[4]), "ciphertext of vector \(number)")
            #expect(sealed.tag == parts[5], "tag of vector \(number)")
            let opened = try Self.open(cipher, parts[0], parts[1], parts[2], parts[4], parts[5])
            #expect(opened?.elementsEqual(parts[3]) == true, "plaintext of vector \(number)")
        }
    }

    // MARK: Against OpenSSL

    /// Every length from 0 to 70,000: what one seals the other one opens.
    @Test(arguments: [16, 32]) func everyLength(keyBytes: Int) throws {
        let fast = try Cipher(keyBytes, accelerated: true)
        let reference = try Cipher(keyBytes, accelerated: false)
        var random = SeededRandom(UInt64(keyBytes))
        let text = random.bytes(70_000)
        let key = random.bytes(keyBytes)
        let seal = try Run(fast, encrypt: true, key: key)
        let openers = try [Run(reference, encrypt: false, key: key), Run(fast, encrypt: false, key: key)]
        let sealed = UnsafeMutablePointer<UInt8>.allocate(capacity: text.count)
        let opened = UnsafeMutablePointer<UInt8>.allocate(capacity: text.count)
        defer {
            sealed.deallocate()
            opened.deallocate()
        }
        for length in 0...70_000 {
            let iv = random.bytes(12)
            let aad = random.bytes(length % 40)
            var tag = [UInt8](repeating: 0, count: 16)
            memcpy(sealed, text, length)
            try #require(seal(iv, aad, UnsafeMutableBufferPointer(start: sealed, count: length), &tag))
            for open in openers {
                memcpy(opened, sealed, length)
                let isGood = open(iv, aad, UnsafeMutableBufferPointer(start: opened, count: length), &tag)
                if !isGood || memcmp(opened, text, length) != 0 { Issue.record("length \(length)") }
            }
        }
    }

    /// Content and additional data in random pieces, nonces of every legal length.
    @Test(arguments: [16, 32]) func splitUpdates(keyBytes: Int) throws {
        let fast = try Cipher(keyBytes, accelerated: true)
        let reference = try Cipher(keyBytes, accelerated: false)
        var random = SeededRandom(7)
        func pieces(_ count: Int, _ body: (Range<Int>) throws -> Void) rethrows {
            var start = 0
            while start < count {
                let end = min(count, start + Int.random(in: 1...(count / 3 + 17), using: &random))
                try body(start..<end)
                start = end
            }
        }
        for round in 0..<600 {
            let key = random.bytes(keyBytes)
            let iv = random.bytes(round % 3 == 0 ? 1 + round % 128 : 12)
            let aad = random.bytes(Int.random(in: 0...300, using: &random))
            let text = random.bytes(Int.random(in: 0...5_000, using: &random))
            let message = try Message(fast, encrypt: true, key: key, iv: iv)
            try pieces(aad.count) { try message.add(aad[$0]) }
            var bytes = text
            try pieces(bytes.count) { try message.run(&bytes, $0) }
            try #require(message.finish())
            let expected = try Self.seal(reference, key, iv, aad, text)
            try #require((bytes == expected.text), "round \(round)")
            try #require(try message.tag == expected.tag, "round \(round)")
            let back = try Message(fast, encrypt: false, key: key, iv: iv)
            try pieces(aad.count) { try back.add(aad[$0]) }
            try pieces(bytes.count) { try back.run(&bytes, $0) }
            // A decipherer may be told the tag at the end.
            try back.expect(expected.tag)
            try #require(back.finish() && (bytes == text), "round \(round)")
        }
    }

    /// Our own code by itself, so that it is held against OpenSSL also where the provider uses libipsec-mb.
    @Test(arguments: [16, 32]) func builtInCode(keyBytes: Int) throws {
        let reference = try Cipher(keyBytes, accelerated: false)
        var random = SeededRandom(23)
        func run(
            _ encrypt: Bool, _ key: [UInt8], _ iv: [UInt8], _ aad: [UInt8], _ bytes: inout [UInt8], _ part: Int
        ) throws -> [UInt8] {
            var tag = [UInt8](repeating: 0, count: 16)
            let count = bytes.count
            try #require(
                caccel_built_in(
                    encrypt, key, key.count, iv, iv.count, aad, aad.count, &bytes, count, part, &tag))
            return tag
        }
        for length in Array(0...1_100) + [4_095, 4_096, 16_384, 16_385, 65_280, 70_001] {
            let key = random.bytes(keyBytes)
            let iv = random.bytes(length % 7 == 0 ? 1 + length % 128 : 12)
            let aad = random.bytes(length % 5 == 0 ? length % 700 : 13)
            let text = random.bytes(length)
            let expected = try Self.seal(reference, key, iv, aad, text)
            for part in [0, 1 + length % 37] {
                var bytes = text
                #expect(try run(true, key, iv, aad, &bytes, part) == expected.tag, "length \(length)")
                #expect((bytes == expected.text), "length \(length)")
                #expect(try run(false, key, iv, aad, &bytes, part) == expected.tag, "length \(length)")
                #expect((bytes == text), "length \(length)")
            }
        }
    }

    /// One bit wrong anywhere, or a short tag that does not fit, and nothing is accepted.
    @Test(arguments: [16, 32]) func badTags(keyBytes: Int) throws {
        let cipher = try Cipher(keyBytes, accelerated: true)
        var random = SeededRandom(11)
        let (key, iv, aad, text) = (random.bytes(keyBytes), random.bytes(12), random.bytes(13), random.bytes(333))
        let sealed = try Self.seal(cipher, key, iv, aad, text)
        for bit in 0..<128 {
            var tag = sealed.tag
            tag[bit / 8] ^= 1 << UInt8(bit % 8)
            #expect(try Self.open(cipher, key, iv, aad, sealed.text, tag) == nil, "bit \(bit) of the tag")
            var changed = sealed.text
            changed[bit] ^= 1
            #expect(try Self.open(cipher, key, iv, aad, changed, sealed.tag) == nil, "byte \(bit)")
        }
        for index in 0..<13 {
            var changed = aad
            changed[index] ^= 0x80
            #expect(try Self.open(cipher, key, iv, changed, sealed.text, sealed.tag) == nil, "additional byte \(index)")
        }
        #expect(try Self.open(cipher, key, iv, aad, sealed.text, Array(sealed.tag[..<12])) != nil, "a tag of 96 bits")
    }

    /// A second message under the same nonce needs a new nonce first; without a tag nothing is opened.
    @Test func misuse() throws {
        let cipher = try Cipher(16, accelerated: true)
        let key = [UInt8](repeating: 1, count: 16)
        let iv = [UInt8](repeating: 2, count: 12)
        let message = try Message(cipher, encrypt: true, key: key, iv: iv)
        var bytes = [UInt8](repeating: 3, count: 40)
        try message.run(&bytes, 0..<40)
        #expect(message.finish())
        #expect(!message.finish(), "the end of no message")
        var count: Int32 = 0
        #expect(EVP_CipherUpdate(message.context, &bytes, &count, bytes, 40) != 1, "data under a used nonce")
        let back = try Message(cipher, encrypt: false, key: key, iv: iv)
        try back.run(&bytes, 0..<40)
        #expect(!back.finish(), "no tag was set")
    }

    /// A copied state goes on by itself.
    @Test func copiedState() throws {
        let cipher = try Cipher(32, accelerated: true)
        var random = SeededRandom(13)
        let (key, iv, aad, text) = (random.bytes(32), random.bytes(12), random.bytes(20), random.bytes(1_000))
        let expected = try Self.seal(cipher, key, iv, aad, text)
        let first = try Message(cipher, encrypt: true, key: key, iv: iv)
        try first.add(aad[...])
        let second = try Message(cipher, encrypt: true, key: key, iv: iv)
        try #require(EVP_CIPHER_CTX_copy(second.context, first.context) == 1)
        for message in [first, second] {
            var bytes = text
            try message.run(&bytes, 0..<bytes.count)
            #expect(message.finish() && (bytes == expected.text))
            #expect(try message.tag == expected.tag)
        }
    }

    /// Whoever does not ask for it gets OpenSSL's own.
    @Test func onlyOnRequest() throws {
        let plain = try #require(EVP_CIPHER_fetch(nil, "AES-128-GCM", nil))
        defer { EVP_CIPHER_free(plain) }
        #expect(EVP_CIPHER_get0_provider(plain).map { String(cString: OSSL_PROVIDER_get0_name($0)) } == "default")
    }

    // MARK: In TLS

    /// Accelerated on either end, both or none, in both versions: every byte arrives.
    @Test(arguments: [TLSVersion.tls12, .tls13], [0, 1, 2, 3])
    func betweenSessions(version: TLSVersion, ends: Int) throws {
        func context(_ role: TLSContext.Role, _ accelerated: Bool) throws -> TLSContext {
            var configuration = try Fixture.configuration(role, version: version)
            configuration.acceleration = accelerated
            return try TLSContext(configuration)
        }
        let pair = try Fixture.connected(
            try context(.client, ends & 1 != 0), try context(.server, ends & 2 != 0))
        var random = SeededRandom(UInt64(ends))
        for count in [1, 15, 16, 17, 1_000, 16_383, 16_384, 16_385, 100_000] {
            for (from, to) in [(pair.client, pair.server), (pair.server, pair.client)] {
                let bytes = random.bytes(count)
                #expect(write(bytes, to: from) == nil)
                let reading = transfer(from: from, to: to)
                #expect(reading.bytes.elementsEqual(bytes), "\(count) bytes")
            }
        }
        for session in [pair.client, pair.server] {
            #expect(session.cipherName?.contains("AES") == true)
        }
    }

    /// A record that was changed on its way ends the connection, also where the accelerated code opens it.
    @Test(arguments: [TLSVersion.tls12, .tls13]) func changedRecord(version: TLSVersion) throws {
        let pair = try Fixture.connected(version: version)
        #expect(write([UInt8](repeating: 9, count: 100), to: pair.client) == nil)
        var wire = take(pair.client)
        wire[40] ^= 1
        feed(wire, to: pair.server) { #expect(readAll($0).error != nil) }
    }
}
