internal import CAcceleration
internal import COpenSSL

/// The records of a connected TLS 1.3 session (RFC 8446, section 5), in OpenSSL's place: AES-GCM straight from the caller's
/// plaintext into the session's output, and from the window into the caller's buffer.
///
/// OpenSSL has done the handshake and keeps what it knows (peer, exporter, suite); from the traffic secrets on, records are
/// ours: that saves two copies of every byte in either direction and what OpenSSL's calls cost for each record. It is so
/// wherever the accelerated AES-GCM is in use and the session has TLS 1.3 (docs/adr/0011-tls-records.md).
final class RecordLayer {
    /// Content types (RFC 8446, section 5.1).
    enum ContentType {
        static let alert: UInt8 = 21
        static let handshake: UInt8 = 22
        static let applicationData: UInt8 = 23
    }

    /// Bytes of content in one record (section 5.1).
    static let maximumContent = 1 << 14
    /// Bytes of a protected record behind its header (section 5.2).
    static let maximumBody = maximumContent + 256
    /// Records without data that may follow one another; OpenSSL's sessions have the same bound.
    static let quietRecords = 32

    let session: UnsafeMutablePointer<ctls_session>
    let isServer: Bool
    private var sending: TrafficKey
    private var receiving: TrafficKey
    private var gathered = GatheredRecord()
    private var surplus = Surplus()
    private var quiet = 0
    private var messages = PostHandshakeReader()
    private var isShutDown = false
    /// The peer has asked for our next key, which comes before the next data (section 4.6.3): once for any number of
    /// requests, so that a peer which reads nothing cannot make the output grow.
    private var owesUpdate = false
    /// Why the session failed; nil as long as it has not.
    private(set) var failure: TLSError?

    /// Takes over the records of a session that has just completed its handshake.
    ///
    /// - Returns: nil where they stay with OpenSSL: another version, suite or implementation.
    /// - Throws: `internalFailure` when memory is short.
    init?(takingOver session: UnsafeMutablePointer<ctls_session>, server: Bool) throws(TLSError) {
        let room = UnsafeMutableRawBufferPointer.allocate(byteCount: 2 * Int(CTLS_SECRET_BYTES), alignment: 1)
        defer {
            OPENSSL_cleanse(room.baseAddress, room.count)
            room.deallocate()
        }
        let half = Int(CTLS_SECRET_BYTES)
        guard let secrets = room.baseAddress?.assumingMemoryBound(to: UInt8.self) else { throw .outOfMemory }
        let count = ctls_take_secrets(session, secrets, secrets + half)
        guard count > 0 else { return nil }
        guard let ssl = session.pointee.ssl,
            let sending = TrafficKey(ssl: ssl, secret: UnsafeRawBufferPointer(start: secrets, count: count)),
            let receiving = TrafficKey(ssl: ssl, secret: UnsafeRawBufferPointer(start: secrets + half, count: count))
        else { throw .outOfMemory }
        self.sending = sending
        self.receiving = receiving
        self.session = session
        isServer = server
    }

    // MARK: In

    /// Opens as many records as the window holds and the buffer takes.
    func read(into buffer: UnsafeMutableRawBufferPointer) -> ReadStep {
        var total = surplus.take(into: buffer)
        while total < buffer.count, session.pointee.ending == 0 {
            guard let record = nextRecord() else { break }
            let room = UnsafeMutableRawBufferPointer(rebasing: buffer[total...])
            // A record that the rest of the buffer has no room for waits for the next call, unless it is the first.
            if record.count > room.count, total > 0 { break }
            total += record.count <= room.count ? open(record, into: room) : openAside(record, into: room)
        }
        if total > 0 {
            noteWindow()
            return .bytes(total)
        }
        switch session.pointee.ending {
        case CTLS_CLOSED: return .closed(clean: true)
        case CTLS_TRUNCATED: return .closed(clean: false)
        case CTLS_FAILED: return .failed(failure ?? TLSError.afterTheEnd)
        default:
            session.pointee.wants_input = true
            return .wantsInput
        }
    }

    private func noteWindow() {
        session.pointee.wants_input =
            session.pointee.ending == 0 && session.pointee.input_left == 0 && !session.pointee.end_of_input
            && surplus.isEmpty && !gathered.isComplete
    }

    /// The next whole record, in the window or gathered from several; nil when there is none yet or no more.
    private func nextRecord() -> Record? {
        if gathered.isEmpty, let window = session.pointee.input, session.pointee.input_left >= Record.header {
            let record = Record(window)
            guard check(record) else { return nil }
            if session.pointee.input_left >= record.total { return record }
        }
        while session.pointee.input_left > 0 {
            gathered.gather(session)
            if let record = gathered.record {
                guard check(record) else { return nil }
                if gathered.isComplete { return record }
            }
        }
        if gathered.isComplete { return gathered.record }
        if session.pointee.end_of_input { end(CTLS_TRUNCATED) }
        return nil
    }

    private func check(_ record: Record) -> Bool {
        guard record.type == ContentType.applicationData else {
            return violation(.unexpectedMessage, "a record that is not protected")
        }
        guard record.body <= Self.maximumBody else {
            return violation(.recordOverflow, "a record of \(record.body) bytes")
        }
        guard record.body > Record.tag else { return violation(.decodeError, "a record of \(record.body) bytes") }
        return true
    }

    /// Opens a record into memory with room for it.
    /// - Returns: bytes of application data; 0 for everything else, the end included.
    private func open(_ record: Record, into room: UnsafeMutableRawBufferPointer) -> Int {
        guard let out = room.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return 0 }
        let good = receiving.open(
            header: record.start, body: record.start + Record.header, record.body, to: out)
        let isGathered = !gathered.isEmpty
        if isGathered {
            gathered.remove()
        } else {
            session.pointee.input += record.total
            session.pointee.input_left -= record.total
        }
        guard good else {
            _ = violation(.badRecordMAC, "a record that does not decrypt")
            return 0
        }
        // The content's type is the last byte that is not padding (section 5.4).
        var count = record.count
        while count > 0, out[count - 1] == 0 { count -= 1 }
        guard count > 0 else {
            _ = violation(.unexpectedMessage, "a record without a type")
            return 0
        }
        count -= 1
        guard count <= Self.maximumContent else {
            _ = violation(.recordOverflow, "a record with \(count) bytes of content")
            return 0
        }
        let content = UnsafeBufferPointer(start: out, count: count)
        if out[count] == ContentType.applicationData, count > 0, messages.isBetweenMessages {
            quiet = 0
            return count
        }
        take(out[count], content)
        return 0
    }

    /// Opens a record that the caller's buffer is too small for; the rest of it waits for the next call.
    private func openAside(_ record: Record, into room: UnsafeMutableRawBufferPointer) -> Int {
        let count = surplus.fill { open(record, into: $0) }
        return count > 0 ? surplus.take(into: room) : 0
    }

    /// What is not application data, or is none.
    private func take(_ type: UInt8, _ content: UnsafeBufferPointer<UInt8>) {
        switch type {
        case ContentType.alert:
            takeAlert(content)
            if session.pointee.ending != 0 { return }
        case ContentType.handshake: takeMessages(content)
        case ContentType.applicationData where messages.isBetweenMessages: break
        default:
            _ = violation(.unexpectedMessage, "a record of type \(type) that has no place here")
            return
        }
        quiet += 1
        if quiet > Self.quietRecords {
            fail(
                TLSError(
                    .messageFlood, "the peer sends key updates, tickets or empty records without end and no data",
                    hint: "a faulty or hostile peer; the session was ended"))
        }
    }

    private func takeAlert(_ content: UnsafeBufferPointer<UInt8>) {
        guard content.count == 2 else {
            _ = violation(.decodeError, "a malformed alert")
            return
        }
        let alert = TLSAlert(rawValue: content[1])
        if alert == .closeNotify { return end(CTLS_CLOSED) }
        // Java says it before each close_notify (section 6.1).
        if alert == .userCanceled { return }
        // All others are fatal, whatever level they claim (section 6).
        session.pointee.alert_received = Int32(alert.rawValue)
        fail(.received(alert, server: isServer, sentCertificate: SSL_get_certificate(session.pointee.ssl) != nil))
    }

    private func takeMessages(_ content: UnsafeBufferPointer<UInt8>) {
        switch messages.read(content, fromServer: !isServer) {
        case .nothing: break
        case .keyUpdate(let requested):
            guard receiving.update() else { return fail(.outOfMemory) }
            if requested { owesUpdate = true }
        case .violation(let alert, let what): _ = violation(alert, what)
        }
    }

    // MARK: Out

    /// Seals everything into the output.
    func write(_ plaintext: UnsafeRawBufferPointer) -> WriteStep {
        if session.pointee.ending == CTLS_FAILED || session.pointee.ending == CTLS_TRUNCATED {
            return .failed(failure ?? TLSError.afterTheEnd)
        }
        guard !isShutDown else { return .failed(TLSError.afterTheEnd) }
        guard let start = plaintext.baseAddress, plaintext.count > 0 else { return .written(0) }
        if owesUpdate, case .failed(let error) = updateKey() { return .failed(error) }
        guard seal(ContentType.applicationData, start.assumingMemoryBound(to: UInt8.self), plaintext.count) else {
            fail(.outOfMemory)
            return .failed(.outOfMemory)
        }
        session.pointee.bytes_sealed += UInt64(plaintext.count)
        return .written(plaintext.count)
    }

    /// Says goodbye, once.
    func shutdown() {
        guard !isShutDown, session.pointee.ending == 0 || session.pointee.ending == CTLS_CLOSED else { return }
        send(.closeNotify, level: 1)
        isShutDown = true
    }

    /// Changes the sending key without asking the peer for the same (section 4.6.3).
    func updateKey() -> KeyUpdateStep {
        guard !isShutDown, session.pointee.ending == 0 || session.pointee.ending == CTLS_CLOSED else {
            return .failed(failure ?? TLSError.afterTheEnd)
        }
        owesUpdate = false
        let message: [UInt8] = [PostHandshakeReader.keyUpdate, 0, 0, 1, 0]
        let good = message.withUnsafeBufferPointer { seal(ContentType.handshake, $0.baseAddress, $0.count) }
        guard good, sending.update() else {
            fail(.outOfMemory)
            return .failed(.outOfMemory)
        }
        session.pointee.bytes_sealed = 0
        session.pointee.records_sealed = 0
        return .updated
    }

    /// Gives back what holds no byte.
    func releaseIdleMemory() {
        gathered.release()
        surplus.release()
    }

    private func seal(_ type: UInt8, _ content: UnsafePointer<UInt8>?, _ count: Int) -> Bool {
        let records = (count + Self.maximumContent - 1) / Self.maximumContent
        guard var out = ctls_output_room(session, count + records * Int(CACCEL_RECORD_OVERHEAD)), let content else {
            return false
        }
        var sealed = 0
        while sealed < count {
            let next = min(count - sealed, Self.maximumContent)
            let made = sending.seal(type, content + sealed, next, to: out)
            out += made
            session.pointee.output_tail += made
            sealed += next
        }
        session.pointee.records_sealed += UInt64(records)
        return true
    }

    private func send(_ alert: TLSAlert, level: UInt8) {
        let content = [level, alert.rawValue]
        _ = content.withUnsafeBufferPointer { seal(ContentType.alert, $0.baseAddress, $0.count) }
    }

    // MARK: The end

    private func end(_ ending: Int32) {
        session.pointee.ending = ending
        session.pointee.input = nil  // the caller may reuse its memory
        session.pointee.input_left = 0
        gathered.remove()
    }

    private func fail(_ error: TLSError) {
        if failure == nil { failure = error }
        end(CTLS_FAILED)
    }

    /// Tells the peer what it did wrong and ends the session. Always false.
    private func violation(_ alert: TLSAlert, _ what: String) -> Bool {
        if !isShutDown {
            send(alert, level: 2)
            session.pointee.alert_sent = Int32(alert.rawValue)
        }
        fail(
            TLSError(
                .protocolViolation, "the peer broke the protocol: \(what)",
                hint: "bytes were changed on the way, or the peer is faulty or hostile", alert: alert))
        return false
    }
}
