internal import COpenSSL

/// A protected record where it lies: header (RFC 8446, section 5.2), then the body.
struct Record {
    static let header = 5
    static let tag = 16

    let start: UnsafePointer<UInt8>
    /// Bytes behind the header.
    let body: Int

    /// Reads the header, which must be there.
    init(_ start: UnsafePointer<UInt8>) {
        self.start = start
        body = Int(start[3]) << 8 | Int(start[4])
    }

    var type: UInt8 { start[0] }
    /// Bytes in all.
    var total: Int { Self.header + body }
    /// Bytes of content, its type and padding.
    var count: Int { body - Self.tag }
}

/// A record whose bytes came in several windows.
struct GatheredRecord: ~Copyable {
    private var room: UnsafeMutablePointer<UInt8>?
    private var held = 0

    deinit { room?.deallocate() }

    var isEmpty: Bool { held == 0 }

    /// The record, as soon as its header is there.
    var record: Record? {
        guard held >= Record.header, let room else { return nil }
        return Record(room)
    }

    var isComplete: Bool { record.map { held >= $0.total } ?? false }

    /// Takes from the window what the record still lacks: first the header, so that its length can be judged before the
    /// body comes.
    mutating func gather(_ session: UnsafeMutablePointer<ctls_session>) {
        guard let window = session.pointee.input else { return }
        let place = room ?? UnsafeMutablePointer<UInt8>.allocate(capacity: Record.header + RecordLayer.maximumBody)
        room = place
        let wanted = record?.total ?? Record.header
        let count = min(wanted - held, session.pointee.input_left)
        (place + held).update(from: window, count: count)
        held += count
        session.pointee.input += count
        session.pointee.input_left -= count
    }

    mutating func remove() { held = 0 }

    mutating func release() {
        guard held == 0 else { return }
        room?.deallocate()
        room = nil
    }
}

/// Plaintext of a record that a caller's small buffer had no room for.
struct Surplus: ~Copyable {
    private var room: UnsafeMutableRawBufferPointer?
    private var start = 0
    private var end = 0

    deinit { room?.deallocate() }

    var isEmpty: Bool { start == end }

    /// Lets `body` fill the memory; it returns how many bytes it put there.
    mutating func fill(_ body: (UnsafeMutableRawBufferPointer) -> Int) -> Int {
        let place = room ?? UnsafeMutableRawBufferPointer.allocate(byteCount: RecordLayer.maximumBody, alignment: 64)
        room = place
        start = 0
        end = body(place)
        return end
    }

    /// Moves as much as fits.
    mutating func take(into buffer: UnsafeMutableRawBufferPointer) -> Int {
        guard !isEmpty, let room else { return 0 }
        let count = min(end - start, buffer.count)
        buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: room[start..<start + count]))
        start += count
        return count
    }

    mutating func release() {
        guard isEmpty else { return }
        room?.deallocate()
        room = nil
    }
}
