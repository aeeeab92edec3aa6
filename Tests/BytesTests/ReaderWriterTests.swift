import Bytes
import SeededRandom
import Testing

@Suite struct ReaderWriterTests {
    @Test func readsBigEndian() throws {
        let bytes: [UInt8] = (1...24).map { $0 }
        try bytes.withUnsafeBytes { buffer throws in
            var reader = ByteReader(buffer)
            #expect(try reader.readUInt8() == 0x01)
            #expect(try reader.readUInt16() == 0x0203)
            #expect(try reader.readUInt32() == 0x0405_0607)
            #expect(try reader.readUInt48() == 0x0809_0A0B_0C0D)
            #expect(try reader.readUInt64() == 0x0E0F_1011_1213_1415)
            #expect(reader.offset == 21)
            #expect(reader.remaining == 3)
            #expect(Array(try reader.readBytes(2)) == [22, 23])
            #expect(!reader.isAtEnd)
            #expect(Array(reader.readRemaining()) == [24])
            #expect(reader.isAtEnd)
        }
    }

    @Test func tooShortInputIsLeftAlone() {
        let bytes: [UInt8] = [1, 2, 3]
        bytes.withUnsafeBytes { buffer in
            var reader = ByteReader(buffer)
            #expect(throws: Truncated(needed: 4, available: 3)) { try reader.readUInt32() }
            #expect(throws: Truncated(needed: 6, available: 3)) { try reader.readUInt48() }
            #expect(throws: Truncated(needed: 8, available: 3)) { try reader.readUInt64() }
            #expect(throws: Truncated(needed: 4, available: 3)) { try reader.readBytes(4) }
            #expect(throws: Truncated(needed: .max, available: 3)) { try reader.skip(.max) }
            #expect(throws: Truncated(needed: 4, available: 3)) { try reader.readString(utf8: 4) }
            #expect(reader.offset == 0)
            #expect((try? reader.readUInt16()) == 0x0102)
            #expect(throws: Truncated(needed: 2, available: 1)) { try reader.readUInt16() }
            #expect((try? reader.readUInt8()) == 3)
            #expect(throws: Truncated(needed: 1, available: 0)) { try reader.readUInt8() }
        }
    }

    @Test func emptyInput() throws {
        var reader = ByteReader(UnsafeRawBufferPointer(start: nil, count: 0))
        #expect(reader.isAtEnd)
        #expect(try reader.readBytes(0).isEmpty)
        #expect(try reader.readString(utf8: 0) == "")
        #expect(reader.readRemaining().isEmpty)
        try reader.skip(0)
        #expect(throws: Truncated.self) { try reader.readUInt8() }
    }

    @Test func textMustBeUTF8() throws {
        let bytes: [UInt8] = Array("né".utf8) + [0xC3, 0x28, 0x41]
        try bytes.withUnsafeBytes { buffer throws in
            var reader = ByteReader(buffer)
            #expect(try reader.readString(utf8: 3) == "né")
            #expect(try reader.readString(utf8: 2) == nil)
            #expect(try reader.readString(utf8: 1) == "A")
        }
    }

    @Test func writesBigEndian() {
        var writer = ByteWriter(minimumCapacity: 30)
        writer.writeUInt8(1)
        writer.writeUInt16(0x0203)
        writer.writeUInt32(0x0405_0607)
        writer.writeUInt48(0x0809_0A0B_0C0D)
        writer.writeUInt64(0x0E0F_1011_1213_1415)
        #expect(writer.bytes == (1...21).map { $0 })
        writer.writeBytes([22])
        [UInt8(23)].withUnsafeBytes { writer.writeBytes($0) }
        writer.writeString("é")
        #expect(writer.count == 25)
        writer.setUInt16(0xFFFE, at: 0)
        writer.setUInt32(0xAABB_CCDD, at: 21)
        #expect(writer.bytes.prefix(3) == [0xFF, 0xFE, 3])
        #expect(writer.bytes.suffix(5) == [21, 0xAA, 0xBB, 0xCC, 0xDD])
    }

    @Test(arguments: 0..<20)
    func readsWhatWasWritten(seed: UInt64) throws {
        var random = SeededRandom(seed)
        let values = (0..<200).map { _ in (kind: Int.random(in: 0..<6, using: &random), value: random.next()) }
        var writer = ByteWriter()
        for (kind, value) in values {
            switch kind {
            case 0: writer.writeUInt8(UInt8(truncatingIfNeeded: value))
            case 1: writer.writeUInt16(UInt16(truncatingIfNeeded: value))
            case 2: writer.writeUInt32(UInt32(truncatingIfNeeded: value))
            case 3: writer.writeUInt48(value >> 16)
            case 4: writer.writeUInt64(value)
            default: writer.writeString(String(value))
            }
        }
        try writer.bytes.withUnsafeBytes { buffer throws in
            var reader = ByteReader(buffer)
            for (kind, value) in values {
                switch kind {
                case 0: #expect(try reader.readUInt8() == UInt8(truncatingIfNeeded: value))
                case 1: #expect(try reader.readUInt16() == UInt16(truncatingIfNeeded: value))
                case 2: #expect(try reader.readUInt32() == UInt32(truncatingIfNeeded: value))
                case 3: #expect(try reader.readUInt48() == value >> 16)
                case 4: #expect(try reader.readUInt64() == value)
                default: #expect(try reader.readString(utf8: String(value).utf8.count) == String(value))
                }
            }
            #expect(reader.isAtEnd)
        }
    }

    /// Loads and stores against arithmetic on single bytes, at every alignment.
    @Test(arguments: 0..<16)
    func loadsAndStoresAtAnyAlignment(offset: Int) throws {
        var random = SeededRandom(UInt64(offset))
        var bytes = random.bytes(32)
        func number(_ size: Int) -> UInt64 { bytes[offset..<offset + size].reduce(0) { $0 << 8 | UInt64($1) } }
        let before = bytes
        bytes.withUnsafeBytes { buffer in
            #expect(UInt64(buffer.loadBE16(at: offset)) == number(2))
            #expect(UInt64(buffer.loadBE32(at: offset)) == number(4))
            #expect(buffer.loadBE48(at: offset) == number(6))
            #expect(buffer.loadBE64(at: offset) == number(8))
        }
        for (size, value) in [
            (2, random.next() >> 48), (4, random.next() >> 32), (6, random.next() >> 16), (8, random.next()),
        ] {
            bytes = before
            bytes.withUnsafeMutableBytes { buffer in
                switch size {
                case 2: buffer.storeBE16(UInt16(value), at: offset)
                case 4: buffer.storeBE32(UInt32(value), at: offset)
                case 6: buffer.storeBE48(value, at: offset)
                default: buffer.storeBE64(value, at: offset)
                }
            }
            #expect(number(size) == value)
            #expect(bytes[..<offset] == before[..<offset])
            #expect(bytes[(offset + size)...] == before[(offset + size)...])
            try bytes.withUnsafeMutableBytes { buffer throws in
                let base = try #require(buffer.baseAddress)
                switch size {
                case 2: #expect(UInt64(base.loadBE16(at: offset)) == value)
                case 4: #expect(UInt64(base.loadBE32(at: offset)) == value)
                case 6: #expect(base.loadBE48(at: offset) == value)
                default: #expect(base.loadBE64(at: offset) == value)
                }
            }
        }
    }
}
