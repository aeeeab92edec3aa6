import Bytes
import EventLoop
import Glibc
import TLS

/// One connection with TLS on it, used from one thread and blocking up to its deadline.
///
/// Ciphertext is handed to the session one record at a time. So it is known what the peer's first record was (an answer
/// to our hello or an alert), and which records after the handshake held no data (session tickets, key updates).
final class Wire {
    /// How a handshake ended on our side.
    enum HandshakeEnd {
        case complete
        case failed(TLSError)
        case timedOut
    }

    /// What came after it.
    enum Received {
        case bytes([UInt8])
        /// The peer sends nothing more; `clean`: it said goodbye.
        case closed(clean: Bool)
        case failed(TLSError)
        case timedOut
    }

    private enum Fed {
        case some, timedOut
    }

    let session: TLSSession
    private let descriptor: FileDescriptor
    /// When patience ends, monotonic nanoseconds.
    private let deadline: UInt64
    private var raw = ByteQueue()
    private var isEnded = false
    private var isRecordUnread = false
    private let window = UnsafeMutableRawBufferPointer.allocate(byteCount: Wire.windowSize, alignment: 16)
    private let plain = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 16)

    /// The type of the peer's first record; nil before it came, or where that is not TLS.
    private(set) var firstRecord: UInt8?
    /// Records after the handshake that held no data.
    private(set) var quietRecords = 0
    /// The peer reset the connection.
    private(set) var isReset = false
    /// From the first byte of the handshake to its end on our side.
    private(set) var handshakeNanoseconds: UInt64 = 0

    /// A record's header (RFC 8446, section 5.1).
    private static let recordHeader = 5
    /// More than a record may have; what claims more is handed over as it is, for the session to refuse.
    private static let windowSize = 20 << 10
    /// change_cipher_spec, alert, handshake, application_data.
    private static let recordTypes: ClosedRange<UInt8> = 20...23
    /// The type of handshake records.
    static let handshakeRecord: UInt8 = 22

    init(_ descriptor: consuming FileDescriptor, session: TLSSession, deadline: UInt64) {
        self.descriptor = descriptor
        self.session = session
        self.deadline = deadline
    }

    deinit {
        window.deallocate()
        plain.deallocate()
    }

    /// The peer has answered our hello with its own, so it takes version and suites that we offered.
    var wasAnswered: Bool { session.isConnected || firstRecord == Self.handshakeRecord }

    // MARK: - TLS

    func handshake() -> HandshakeEnd {
        let start = Clock.monotonicNanoseconds()
        defer { handshakeNanoseconds = Clock.monotonicNanoseconds() - start }
        while true {
            switch session.handshake() {
            case .complete:
                flush()
                return .complete
            case .failed(let error):
                flush()
                return .failed(error)
            case .wantsInput:
                flush()
                if feed(until: deadline) == .timedOut { return .timedOut }
            }
        }
    }

    func send(_ bytes: [UInt8]) {
        _ = bytes.withUnsafeBytes { session.write($0) }
        flush()
    }

    /// Waits for plaintext, at most until `limit`. With `patienceAfterQuiet` (nanoseconds) it waits only so much longer once a
    /// record without data has come.
    func receive(until limit: UInt64? = nil, patienceAfterQuiet: UInt64? = nil) -> Received {
        var limit = min(limit ?? deadline, deadline)
        while true {
            switch session.read(into: plain) {
            case .bytes(let count):
                isRecordUnread = false
                return .bytes([UInt8](plain[..<count]))
            case .closed(let clean): return .closed(clean: clean)
            case .failed(let error):
                flush()
                return .failed(error)
            case .wantsInput:
                if isRecordUnread {
                    isRecordUnread = false
                    quietRecords += 1
                    if let patienceAfterQuiet {
                        limit = min(limit, Clock.monotonicNanoseconds() + patienceAfterQuiet)
                    }
                }
                flush()
                if feed(until: limit) == .timedOut { return .timedOut }
            }
        }
    }

    /// Says goodbye. The connection is closed with the last reference to this object.
    func close() {
        session.shutdown()
        flush()
    }

    // MARK: - TCP

    /// Gives the session its next record; receives until there is one.
    private func feed(until limit: UInt64) -> Fed {
        while true {
            if let count = nextRecord() {
                raw.withReadable { window.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[..<count])) }
                if firstRecord == nil, Self.recordTypes.contains(window[0]) { firstRecord = window[0] }
                raw.consume(count)
                isRecordUnread = session.isConnected
                session.setInput(UnsafeRawBufferPointer(rebasing: window[..<count]))
                return .some
            }
            if isEnded {
                session.receivedEOF()
                return .some
            }
            guard wait(for: Int16(POLLIN), until: limit) else { return .timedOut }
            let result = Syscall.recv(descriptor.rawValue, raw.reserve(16 << 10))
            switch result {
            case .done(0): isEnded = true
            case .done(let count): raw.commit(count)
            case .wouldBlock: break
            case .failed:
                isReset = true
                isEnded = true
            }
        }
    }

    /// Bytes to hand over next: a whole record, or anything at all where it is no TLS or ends early.
    private func nextRecord() -> Int? {
        let held = raw.count
        guard held > 0 else { return nil }
        return raw.withReadable { bytes in
            guard Self.recordTypes.contains(bytes[0]) else { return min(held, Self.windowSize) }
            guard held >= Self.recordHeader else { return isEnded ? held : nil }
            let total = Self.recordHeader + Int(bytes[3]) << 8 + Int(bytes[4])
            guard total <= Self.windowSize else { return min(held, Self.windowSize) }
            return held >= total ? total : isEnded ? held : nil
        }
    }

    private func flush() {
        while session.pendingOutput > 0 {
            var isBlocked = false
            session.withOutput { bytes in
                switch Syscall.send(descriptor.rawValue, bytes) {
                case .done(let count): return count
                case .wouldBlock:
                    isBlocked = true
                    return 0
                case .failed:
                    // Reading tells what happened, and may still bring the peer's last words.
                    return bytes.count
                }
            }
            if isBlocked, !wait(for: Int16(POLLOUT), until: deadline) { return }
        }
    }

    private func wait(for events: Int16, until limit: UInt64) -> Bool {
        Wire.wait(descriptor.rawValue, events, until: limit)
    }

    /// Waits until the descriptor is ready; false when the time is up.
    static func wait(_ descriptor: Int32, _ events: Int16, until limit: UInt64) -> Bool {
        while true {
            let now = Clock.monotonicNanoseconds()
            let left = limit > now ? (limit - now + 999_999) / 1_000_000 : 0
            var entry = pollfd(fd: descriptor, events: events, revents: 0)
            let result = poll(&entry, 1, Int32(clamping: left))
            if result > 0 { return true }
            if result == 0 { return false }
            guard errno == EINTR else { return true }
        }
    }
}
