import Foundation
import JSON
import PKI
import Testing

@Suite struct DevelopmentCertificateTests {
    private let workspace: Workspace

    init() throws { workspace = try Workspace() }

    @Test func withoutArgumentsItIsForThisHost() throws {
        let result = try mesh(["cert", "dev"], in: workspace)
        #expect(result.status == 0, "\(result.errors)")
        #expect(result.text.contains("Made a certificate for localhost, 127.0.0.1, ::1, valid until "))
        #expect(result.errors.contains("warning: for development only"))
        #expect(try workspace.mode("certs/localhost.key") == 0o600)
        let made = try Credentials.load(
            certificateFile: workspace.path("certs/localhost.crt"), keyFile: workspace.path("certs/localhost.key"))
        #expect(made.leaf.ipAddresses == ["127.0.0.1", "::1"] && made.chain.count == 1)
        let ca = try Certificate.load(file: workspace.path("certs/localhost-ca.crt"))
        #expect(ca.count == 1 && ca[0].isCA)
        #expect(!workspace.has("certs/localhost-ca.key"))
    }

    @Test func namesAndAddressesStandWhereClientsLook() throws {
        let result = try mesh(
            [
                "cert", "dev", "--name", "*.shop.test", "--dns", "shop.test", "--ip", "192.0.2.7", "--out", "x/y",
                "--days", "1", "--json",
            ], in: workspace)
        #expect(result.status == 0, "\(result.errors)")
        let answer = try JSONReader.parse(result.text)
        #expect(answer["dnsNames"]?.array?.compactMap(\.string) == ["*.shop.test", "shop.test"])
        #expect(answer["ipAddresses"]?.array?.compactMap(\.string) == ["192.0.2.7"])
        #expect(answer["key"]?.string == "x/y/_.shop.test.key" && workspace.has("x/y/_.shop.test.key"))
    }

    @Test func nothingIsOverwritten() throws {
        #expect(try mesh(["cert", "dev", "--name", "a.test"], in: workspace).status == 0)
        let before = try workspace.read("certs/a.test.key")
        for _ in 0..<2 {
            let again = try mesh(["cert", "dev", "--name", "a.test"], in: workspace)
            #expect(again.status == 1 && again.errors.contains("exists already; nothing was written"))
            #expect(try workspace.read("certs/a.test.key") == before)
            try FileManager.default.removeItem(atPath: workspace.path("certs/a.test.crt"))
            #expect(!workspace.has("certs/a.test.crt"))
            try "x".write(toFile: workspace.path("certs/a.test.crt"), atomically: true, encoding: .utf8)
        }
    }

    @Test(arguments: [
        (["--name", "a/b"], "slashes"), (["--dns", "192.0.2.1"], "--ip 192.0.2.1"),
        (["--ip", "shop.test"], "shop.test"),
        (["--name", "My Laptop", "--dns", ""], "DNS name"), (["--days", "399"], "398"),
    ]) func whatCannotBeIsRefused(_ arguments: [String], _ part: String) throws {
        let result = try mesh(["cert", "dev"] + arguments, in: workspace)
        #expect(result.status == 2)
        #expect(result.errors.contains(part), "\(result.errors)")
        #expect(!workspace.has("certs"))
    }
}
