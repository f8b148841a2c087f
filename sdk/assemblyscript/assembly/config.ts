import * as abi from "./abi";
import * as answer from "./answer";
import * as utf8 from "./utf8";
import { callName, throwErrno } from "./errors";

/** What hosts.toml says under [plugins.<name>.config]. */
@final
export class config {
  /** The value of a key as text, or null when it is not set. */
  static get(key: string): string | null {
    const k = utf8.encode(key);
    const kn = utf8.encodedLength;
    answer.prepare();
    const length = abi.config_get(k, kn, answer.buffer, answer.capacity);
    if (length < 0) {
      if (length != abi.ERRNO_NOT_FOUND) throwErrno(callName("config.get", key), <i32>length);
      return null;
    }
    return utf8.decode(answer.accept(length), <i32>length);
  }
}
