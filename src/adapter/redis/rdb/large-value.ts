/** Collections that are too large to be held: read element by element, a part at a time. */
import { RdbEndError, RdbFormatError } from './errors.ts';
import { LargeStream } from './large-stream.ts';
import {
  type LargeValue,
  type RdbField,
  type RdbMember,
  RdbType,
  type RdbValue,
  readExpiringField,
  readMember,
  readNode,
} from './objects.ts';
import { FOOTER_BYTES } from './payload.ts';
import { RdbReader } from './rdb-reader.ts';

/** Bytes that are read for a part, about. */
const MAX_PART_BYTES = 128 * 1024;

export interface RdbFileLimits {
  /** Collections whose bytes are more come in parts. */
  readonly wholeBytes: number;
  /** What cannot come in parts is refused above this. */
  readonly maxValueBytes: number;
  /** Elements of a part at most, but for a last node of a list. */
  readonly partElements: number;
}

export const DEFAULT_FILE_LIMITS: RdbFileLimits = {
  wholeBytes: 64 * 1024,
  maxValueBytes: 512 * 1024 ** 2,
  partElements: 1_000,
};

/** A value that is a count and so many elements, or nodes of them. */
class CountedValue<Element> implements LargeValue {
  private readonly readOne: (reader: RdbReader) => readonly Element[];
  private readonly partOf: (elements: readonly Element[]) => RdbValue;
  /** Elements or nodes that are still to come. */
  private left: number;
  private elements: Element[] = [];

  constructor(
    left: number,
    readOne: (reader: RdbReader) => readonly Element[],
    partOf: (elements: readonly Element[]) => RdbValue,
  ) {
    this.left = left;
    this.readOne = readOne;
    this.partOf = partOf;
  }

  get isDone(): boolean {
    return this.left === 0;
  }

  get size(): number {
    return this.elements.length;
  }

  read(reader: RdbReader): void {
    for (const element of this.readOne(reader)) this.elements.push(element);
    this.left--;
  }

  take(): RdbValue {
    const taken = this.elements;
    this.elements = [];
    return this.partOf(taken);
  }
}

const listPart = (values: readonly Buffer[]): RdbValue => ({ type: 'list', values });
const setPart = (members: readonly Buffer[]): RdbValue => ({ type: 'set', members });
const hashPart = (fields: readonly RdbField[]): RdbValue => ({ type: 'hash', fields });
const zsetPart = (members: readonly RdbMember[]): RdbValue => ({ type: 'zset', members });

/**
 * Begins to read a value, the type in front was read.
 * @param maxBytes that may be held of it beside the parts
 * @returns undefined for a type that has no parts
 * @throws RdbEndError when more bytes are needed
 */
export function openLargeValue(type: number, reader: RdbReader, maxBytes: number): LargeValue | undefined {
  switch (type) {
    case RdbType.List:
      return new CountedValue(reader.length(), (from) => [from.string()], listPart);
    case RdbType.ListQuicklist:
    case RdbType.ListQuicklist2:
      return new CountedValue(reader.length(), (from) => readNode(from, type === RdbType.ListQuicklist2), listPart);
    case RdbType.Set:
      return new CountedValue(reader.length(), (from) => [from.string()], setPart);
    case RdbType.Hash:
      return new CountedValue(reader.length(), (from) => [{ field: from.string(), value: from.string() }], hashPart);
    case RdbType.HashMetadata: {
      const firstMs = Number(reader.int64());
      return new CountedValue(reader.length(), (from) => [readExpiringField(from, firstMs)], hashPart);
    }
    case RdbType.ZSet:
    case RdbType.ZSet2:
      return new CountedValue(reader.length(), (from) => [readMember(from, type === RdbType.ZSet2)], zsetPart);
    case RdbType.StreamListpacks:
      return new LargeStream(1, reader, maxBytes);
    case RdbType.StreamListpacks2:
      return new LargeStream(2, reader, maxBytes);
    case RdbType.StreamListpacks3:
      return new LargeStream(3, reader, maxBytes);
    default:
      return undefined;
  }
}

/** Whether a part takes more. @param bytes that were read for it */
const hasRoom = (value: LargeValue, most: number, bytes: number): boolean =>
  !value.isDone && value.size < most && bytes < MAX_PART_BYTES;

/**
 * Reads elements of a part, those of which all bytes are there.
 * @returns bytes of them; 0 when none was there
 * @throws RdbFormatError
 */
export function readElements(value: LargeValue, reader: RdbReader, most: number): number {
  const from = reader.position;
  let bytes = 0;
  while (hasRoom(value, most, bytes)) {
    try {
      value.read(reader);
    } catch (error) {
      if (!(error instanceof RdbEndError)) throw error;
      break;
    }
    bytes = reader.position - from;
  }
  return bytes;
}

/**
 * The parts of a value that is there as a payload, which `isPayload`.
 * @returns undefined for one that is to be taken whole
 * @throws RdbFormatError, while parts are taken
 */
export function valueParts(
  payload: Buffer,
  limits: RdbFileLimits = DEFAULT_FILE_LIMITS,
): Iterable<RdbValue> | undefined {
  const { wholeBytes, partElements, maxValueBytes } = limits;
  if (payload.length <= wholeBytes) return undefined;
  const reader = new RdbReader(payload.subarray(0, payload.length - FOOTER_BYTES), maxValueBytes);
  const value = openLargeValue(reader.u8(), reader, maxValueBytes);
  return value && partsOf(value, reader, partElements);
}

function* partsOf(value: LargeValue, reader: RdbReader, partElements: number): Generator<RdbValue> {
  while (!value.isDone) {
    const from = reader.position;
    while (hasRoom(value, partElements, reader.position - from)) value.read(reader);
    const part = value.take();
    if (part !== undefined) yield part;
  }
  if (!reader.isAtEnd) throw new RdbFormatError('there is more than a value');
}
