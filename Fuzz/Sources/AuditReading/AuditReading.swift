import Audit
import FuzzSupport
import JSON

/// Any bytes as the file of an audit log, as a line, as a record and as a seal: findings, or values that come back the same. What
/// verifies without a finding can be written again from its records.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
    let bytes = Array(UnsafeBufferPointer(start: data, count: size))
    var verifier = AuditVerifier(key: nil)
    verifier.read(file: AuditFileName.name(first: 1), bytes)
    verifier.finish()
    require(verifier.findings.count <= AuditVerifier.maximumFindings, "too many findings")
    require(verifier.json["findings"]?.array?.count == verifier.findings.count, "findings are lost in JSON")
    require(verifier.torn <= bytes.count && verifier.sealed <= max(verifier.last, verifier.sealed), "counts")
    if verifier.findings.isEmpty, verifier.records > 0 {
        require(verifier.last - verifier.first + 1 == verifier.records, "a gap without a finding")
    }
    if let line = try? AuditLine(parsing: bytes) {
        require(line.bytes == bytes + [UInt8(ascii: "\n")], "a line is not read back")
        if let record = try? AuditRecord(content: line.content) {
            require((try? AuditRecord(content: record.json.serialized())) == record, "a record is not read back")
        }
    }
    if let record = try? AuditRecord(content: bytes) {
        require((try? AuditRecord(content: record.json.serialized())) == record, "a record is not read back")
    }
    if let value = try? JSONReader.parse(bytes), let seal = try? AuditSeal(json: value) {
        require((try? AuditSeal(json: seal.json)) == seal, "a seal is not read back")
    }
    _ = try? AuditKey.read(pem: bytes)
    return 0
}
