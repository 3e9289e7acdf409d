/** Collections that are too large to be held: read element by element, a part at a time. */
import {
  type RdbField,
  type RdbMember,
  RdbType,
  type RdbValue,
  readExpiringField,
  readMember,
  readNode,
} from './objects.ts';
import type { RdbReader } from './rdb-reader.ts';

/** Collects elements until they are asked for. */
interface Elements {
  /** Reads an element, or a node of several. Nothing is kept of one that throws. */
  readonly read: (reader: RdbReader) => void;
  /** What was collected; at least one element. */
  readonly take: () => RdbValue;
}

/** @param read reads an element, or a node of several @param partOf makes a value of what was collected */
function collect<Element>(
  read: (reader: RdbReader) => readonly Element[],
  partOf: (elements: readonly Element[]) => RdbValue,
): Elements {
  let elements: Element[] = [];
  return {
    read: (reader) => {
      for (const element of read(reader)) elements.push(element);
    },
    take: () => {
      const taken = elements;
      elements = [];
      return partOf(taken);
    },
  };
}

const listPart = (values: readonly Buffer[]): RdbValue => ({ type: 'list', values });
const setPart = (members: readonly Buffer[]): RdbValue => ({ type: 'set', members });
const hashPart = (fields: readonly RdbField[]): RdbValue => ({ type: 'hash', fields });
const zsetPart = (members: readonly RdbMember[]): RdbValue => ({ type: 'zset', members });

/** A value that is read in parts. */
export interface LargeValue {
  /** Elements or nodes that are still to come. */
  left: number;
  readonly elements: Elements;
}

/**
 * Begins to read a value, the type in front was read.
 * @returns undefined for a type that is no count and so many elements
 * @throws RdbEndError when more bytes are needed
 */
export function openLargeValue(type: number, reader: RdbReader): LargeValue | undefined {
  const firstMs = type === RdbType.HashMetadata ? Number(reader.int64()) : 0;
  const elements = elementsOf(type, firstMs);
  return elements === undefined ? undefined : { left: reader.length(), elements };
}

function elementsOf(type: number, firstMs: number): Elements | undefined {
  switch (type) {
    case RdbType.List:
      return collect((reader) => [reader.string()], listPart);
    case RdbType.ListQuicklist:
    case RdbType.ListQuicklist2:
      return collect((reader) => readNode(reader, type === RdbType.ListQuicklist2), listPart);
    case RdbType.Set:
      return collect((reader) => [reader.string()], setPart);
    case RdbType.Hash:
      return collect((reader) => [{ field: reader.string(), value: reader.string() }], hashPart);
    case RdbType.HashMetadata:
      return collect((reader) => [readExpiringField(reader, firstMs)], hashPart);
    case RdbType.ZSet:
    case RdbType.ZSet2:
      return collect((reader) => [readMember(reader, type === RdbType.ZSet2)], zsetPart);
    default:
      return undefined;
  }
}
