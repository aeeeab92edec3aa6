public import Arguments

/// The flags that stand for keys, for the table of a program's command line.
public enum ConfigurationFlags {
    /// A flag for every key that has one: `--listen-mesh IP:PORT`; `--directory-serve` and `--no-directory-serve`.
    ///
    /// Values are texts here, so that the loader checks them with the file's and reports everything at once. Variables
    /// are left to it as well.
    ///
    /// - Parameter isHidden: Whether help and completion leave them out.
    public static func specs(isHidden: Bool = false) -> [FlagSpec] {
        ConfigurationTable.rootKeys.map { key, _ in
            if key.isBoolean {
                return FlagSpec(switch: key.flag, key.summary, isNegatable: true, isHidden: isHidden)
            }
            return FlagSpec(key.flag, .string, placeholder: key.placeholder, key.summary, isHidden: isHidden)
        }
    }

    /// The texts of the flags that were given, for ``ConfigurationLoader``.
    public static func texts(of invocation: Invocation) -> [String: String] {
        var texts: [String: String] = [:]
        for (key, _) in ConfigurationTable.rootKeys {
            texts[key.flag] = key.isBoolean ? invocation.bool(key.flag)?.description : invocation.string(key.flag)
        }
        return texts
    }
}
