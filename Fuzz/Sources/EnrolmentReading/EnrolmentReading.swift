import Enrolment
import FuzzSupport
import PKI

/// Any bytes as join token, request for a certificate, request to the CA and its answer: refused with words, or read in a way
/// that holds together.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = Array(UnsafeRawBufferPointer(start: start, count: count))
    if let token = checked({ try JoinToken(parsing: input) }) {
        let again = checked { try JoinToken(parsing: token.text()) }
        require(again?.node == token.node && again?.address == token.address, "a token is not read as it is written")
        require(NodeName.isValid(token.node), "a token for an impossible node")
    }
    // Behind the token's checksum, which chance does not find.
    if let request = checked({ try CertificateSigningRequest(der: input) }) {
        require(request.publicKey.kind.family != .unsupported, "a key that no certificate is issued for")
        if let grant = try? NodeGrant(node: "db-1", dnsNames: ["db.test"]) {
            _ = checked { try grant.check(request, trustDomain: "mesh.test") }
        }
    }
    if let join = checked({ try JoinRequest(parsing: input) }) {
        require(checked { try JoinRequest(parsing: join.body) } == join, "a request is not read as it is written")
    }
    if let renew = checked({ try RenewRequest(parsing: input) }) {
        require(checked { try RenewRequest(parsing: renew.body) } == renew, "a request is not read as it is written")
    }
    if let issued = checked({ try IssuedIdentity(parsing: input) }) {
        require(!issued.chain.isEmpty, "an answer without a certificate")
    }
    return 0
}

/// The result, or nil after an error that says something.
private func checked<Result>(_ body: () throws -> Result) -> Result? {
    do {
        return try body()
    } catch let error as EnrolmentError {
        require(!error.message.isEmpty && !error.hint.isEmpty, "an error without words")
    } catch let error as CertificateError {
        require(!error.message.isEmpty && !error.hint.isEmpty, "an error without words")
    } catch {
        require(false, "an error of another room")
    }
    return nil
}
