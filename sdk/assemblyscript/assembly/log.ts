import * as abi from "./abi";
import * as utf8 from "./utf8";

/** Lines for the host's log, which adds the plugin and the event. A line is cut after 1,024 bytes. */
@final
export class log {
  static debug(text: string): void {
    write(0, text);
  }

  static info(text: string): void {
    write(1, text);
  }

  static warn(text: string): void {
    write(2, text);
  }

  static error(text: string): void {
    write(3, text);
  }
}

function write(level: i32, text: string): void {
  const at = utf8.encode(text);
  abi.log(level, at, utf8.encodedLength);
}
