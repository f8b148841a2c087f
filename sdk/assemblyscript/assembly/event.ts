import * as abi from "./abi";
import * as utf8 from "./utf8";
import { Bytes, view } from "./bytes";
import { decimal } from "./integer";

const ID: i32 = 0;
const TYPE: i32 = 1;
const STREAM: i32 = 2;
const STREAM_TYPE: i32 = 3;
const DATA: i32 = 4;
const METADATA: i32 = 5;
const CONTENT_TYPE: i32 = 6;

/** The event that is being handled. It can be used until the handler returns. */
@final
export class Event {
  private start: usize = 0;
  private length: i32 = 0;
  private knownStream: string | null = null;

  /** The place in the order of all events, from 1. Later events have greater positions; there may be holes. */
  get position(): i64 {
    return load<i64>(this.start, 8);
  }

  /** The place in its stream, from 1, without holes. */
  get version(): i64 {
    return load<i64>(this.start, 16);
  }

  /** When it was recorded: microseconds since 1970-01-01T00:00:00Z. The clock to use, as a replay gives it again. */
  get time(): i64 {
    return load<i64>(this.start, 24);
  }

  /** How often it was given to this plugin, this time included; from 1. */
  get attempt(): u32 {
    return load<u32>(this.start, 32);
  }

  /** Its unique id. */
  get id(): string {
    return this.text(ID);
  }

  /** What happened, for example "Deposited". */
  get type(): string {
    return intern(this.slot(TYPE), this.slotLength(TYPE));
  }

  /** What it happened to, for example "account-7". Events of one stream are handled in order, one at a time. */
  get stream(): string {
    const known = this.knownStream;
    if (known !== null) return known;
    return (this.knownStream = this.text(STREAM));
  }

  /** The kind of its stream, for example "account"; may be empty. */
  get streamType(): string {
    return intern(this.slot(STREAM_TYPE), this.slotLength(STREAM_TYPE));
  }

  /** What the event says, exactly as it was appended. */
  get data(): Bytes {
    return this.bytes(DATA);
  }

  /** What is known about the event beside its data: a JSON object. */
  get metadata(): Bytes {
    return this.bytes(METADATA);
  }

  /** What `data` is, as a media type, for example "application/json". */
  get contentType(): string {
    return intern(this.slot(CONTENT_TYPE), this.slotLength(CONTENT_TYPE));
  }

  /** @hidden Begins with an envelope that the host wrote. */
  open(start: usize, length: i32): void {
    this.start = start;
    this.length = length;
    this.knownStream = null;
    const isWhole =
      length >= abi.ENVELOPE_FIXED + 8 * abi.ENVELOPE_SLOTS &&
      load<u32>(start) == abi.ENVELOPE_MAGIC &&
      load<i32>(start, 36) >= abi.ENVELOPE_SLOTS;
    if (!isWhole) throw new Error("this is no envelope of an event: " + decimal(length) + " bytes");
  }

  private text(slot: i32): string {
    return utf8.decode(this.slot(slot), this.slotLength(slot));
  }

  private bytes(slot: i32): Bytes {
    return view(this.slot(slot), this.slotLength(slot));
  }

  private slot(slot: i32): usize {
    const at = this.start + abi.ENVELOPE_FIXED + ((<usize>slot) << 3);
    const offset = load<u32>(at);
    if (<u64>offset + load<u32>(at, 4) > <u64>this.length)
      throw new Error("slot " + decimal(slot) + " is outside the envelope");
    return this.start + offset;
  }

  private slotLength(slot: i32): i32 {
    return load<i32>(this.start + abi.ENVELOPE_FIXED + ((<usize>slot) << 3), 4);
  }
}

/** Types come again and again, so the last few are kept as strings. All of them are ASCII. */
const INTERNED: i32 = 16;
const LONGEST: i32 = 64;
const interned = new StaticArray<string>(INTERNED);

function intern(at: usize, length: i32): string {
  if (<u32>(length - 1) >= <u32>LONGEST) return utf8.decode(at, length);
  const index = (length + load<u8>(at) + load<u8>(at + length - 1) * 5) & (INTERNED - 1);
  const known = unchecked(interned[index]);
  if (changetype<usize>(known) && known.length == length && utf8.equalsAscii(known, at)) return known;
  const text = utf8.decode(at, length);
  if (text.length == length) unchecked((interned[index] = text));
  return text;
}
