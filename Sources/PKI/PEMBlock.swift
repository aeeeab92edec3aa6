/// One block of a PEM text (RFC 7468).
struct PEMBlock {
    /// What stands after BEGIN, "CERTIFICATE".
    let label: String
    /// Where the block lies in the text, from BEGIN to END inclusive.
    let range: Range<Int>
    /// The line that BEGIN stands on, from 1.
    let line: Int
    /// The base64 text without white space; empty when the block has headers (a traditional encrypted key).
    private let base64: [UInt8]

    /// More blocks than this in one file are refused.
    static let limit = 64

    /// The bytes of the block.
    func decoded() throws(CertificateError) -> [UInt8] {
        var text = base64
        defer { text.wipe() }
        guard let bytes = Sodium.bytes(base64: text), !bytes.isEmpty else {
            throw CertificateError(
                .malformed, "the block \(label) at line \(line) is not base64",
                hint: "the file is damaged; copy it again")
        }
        return bytes
    }

    /// Splits a text into its blocks. Text outside blocks is ignored, as RFC 7468 allows.
    static func parse(
        _ bytes: [UInt8], expecting what: String, limit: Int = limit
    ) throws(CertificateError) -> [PEMBlock] {
        guard bytes.count <= SafeFile.sizeLimit else {
            throw CertificateError(
                .tooLarge, "more than \(SafeFile.sizeLimit) bytes",
                hint: "keys and chains are a few KiB; check the path")
        }
        var blocks: [PEMBlock] = []
        var open: (label: String, start: Int, line: Int, base64: [UInt8], headers: Bool)?
        var line = 0
        var start = 0
        while start < bytes.count {
            let end = bytes[start...].firstIndex(of: 0x0A) ?? bytes.count
            line += 1
            let text = trimmed(bytes[start..<end])
            if let label = marker("BEGIN", text) {
                guard open == nil else { throw unfinished(open!.label, open!.line) }
                open = (label, text.startIndex, line, [], false)
            } else if let label = marker("END", text) {
                guard let block = open, block.label == label else {
                    throw CertificateError(
                        .notPEM, "END \(label) at line \(line) has no matching BEGIN",
                        hint: "the file is damaged; copy it again")
                }
                guard blocks.count < limit else {
                    throw CertificateError(
                        .tooLarge, "more than \(limit) PEM blocks", hint: "split the file, or check the path")
                }
                blocks.append(
                    PEMBlock(
                        label: label, range: block.start..<text.endIndex, line: block.line,
                        base64: block.headers ? [] : block.base64))
                open = nil
            } else if open != nil {
                if text.contains(0x3A) { open?.headers = true }
                open?.base64.append(contentsOf: text)
            }
            start = end + 1
        }
        if let open { throw unfinished(open.label, open.line) }
        guard !blocks.isEmpty else { throw diagnose(bytes, expecting: what) }
        return blocks
    }

    /// PEM text of one block, 64 characters a line.
    static func encode(_ der: [UInt8], label: String) -> [UInt8] {
        var text = Array("-----BEGIN \(label)-----\n".utf8)
        var base64 = Sodium.base64(der)
        defer { base64.wipe() }
        text.reserveCapacity(text.count * 3 + base64.count + base64.count / 64 + 2)
        var start = 0
        while start < base64.count {
            let end = min(start + 64, base64.count)
            text.append(contentsOf: base64[start..<end])
            text.append(0x0A)
            start = end
        }
        text.append(contentsOf: "-----END \(label)-----\n".utf8)
        return text
    }

    /// The label of "-----BEGIN label-----"; nil for any other line.
    private static func marker(_ keyword: String, _ line: ArraySlice<UInt8>) -> String? {
        let head = "-----\(keyword) ".utf8
        let tail = "-----".utf8
        guard line.count > head.count + tail.count, line.count < 128, line.starts(with: head),
            line.suffix(tail.count).elementsEqual(tail)
        else { return nil }
        let label = line.dropFirst(head.count).dropLast(tail.count)
        guard label.allSatisfy({ $0 >= 0x20 && $0 < 0x7F }) else { return nil }
        return String(decoding: label, as: UTF8.self)
    }

    private static func trimmed(_ line: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        func blank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 || byte == 0x0D }
        var line = line.drop(while: blank)
        // The byte order mark that some editors put at the start of a file.
        if line.starts(with: [0xEF, 0xBB, 0xBF]) { line = line.dropFirst(3) }
        while let last = line.last, blank(last) { line.removeLast() }
        return line
    }

    private static func unfinished(_ label: String, _ line: Int) -> CertificateError {
        CertificateError(
            .notPEM, "the block \(label) that begins at line \(line) has no end",
            hint: "the file was cut short; copy it again")
    }

    /// Says what a file without any PEM block is.
    private static func diagnose(_ bytes: [UInt8], expecting what: String) -> CertificateError {
        guard bytes.contains(where: { $0 > 0x20 }) else {
            return CertificateError(.emptyFile, "the file is empty", hint: "was it cut short? Copy it again")
        }
        // A SEQUENCE whose length is that of the file, or in the long form.
        if bytes.count > 4, bytes[0] == 0x30, bytes[1] & 0x80 != 0 || Int(bytes[1]) + 2 == bytes.count {
            let content = bytes[1] & 0x80 != 0 ? 2 + Int(bytes[1] & 0x7F) : 2
            if content + 2 < bytes.count, bytes[content] == 0x02, bytes[content + 1] == 1, bytes[content + 2] == 3 {
                return CertificateError(
                    .derInsteadOfPEM, "the file is PKCS#12 (PFX), where \(what) in PEM was expected",
                    hint: "configure it as PKCS#12, or convert it: openssl pkcs12 -in FILE -out FILE.pem -nodes")
            }
            return CertificateError(
                .derInsteadOfPEM, "the file is DER, where \(what) in PEM was expected",
                hint:
                    "convert it: openssl \(what.hasSuffix("key") ? "pkey" : "x509") -inform DER -in FILE -out FILE.pem")
        }
        if bytes.starts(with: [0xFF, 0xFE]) || bytes.starts(with: [0xFE, 0xFF]) {
            return CertificateError(
                .notPEM, "the file is UTF-16 text, where \(what) in PEM was expected",
                hint: "save it as ASCII or UTF-8: iconv -f UTF-16 -t ASCII FILE")
        }
        return CertificateError(
            .notPEM, "no PEM block, where \(what) was expected",
            hint: "give a file with a line -----BEGIN …-----; look at one with: mesh ca inspect FILE")
    }
}
