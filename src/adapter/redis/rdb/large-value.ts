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

function listElements(read: (reader: RdbReader) => readonly Buffer[]): Elements {
  let values: Buffer[] = [];
  return {
    read: (reader) => {
      for (const value of read(reader)) values.push(value);
    },
    take: () => {
      const taken = values;
      values = [];
      return { type: 'list', values: taken };
    },
  };
}

function setElements(): Elements {
  let members: Buffer[] = [];
  return {
    read: (reader) => void members.push(reader.string()),
    take: () => {
      const taken = members;
      members = [];
      return { type: 'set', members: taken };
    },
  };
}

function hashElements(read: (reader: RdbReader) => RdbField): Elements {
  let fields: RdbField[] = [];
  return {
    read: (reader) => void fields.push(read(reader)),
    take: () => {
      const taken = fields;
      fields = [];
      return { type: 'hash', fields: taken };
    },
  };
}

function orderElements(isBinary: boolean): Elements {
  let members: RdbMember[] = [];
  return {
    read: (reader) => void members.push(readMember(reader, isBinary)),
    take: () => {
      const taken = members;
      members = [];
      return { type: 'zset', members: taken };
    },
  };
}

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
      return listElements((reader) => [reader.string()]);
    case RdbType.ListQuicklist:
    case RdbType.ListQuicklist2:
      return listElements((reader) => readNode(reader, type === RdbType.ListQuicklist2));
    case RdbType.Set:
      return setElements();
    case RdbType.Hash:
      return hashElements((reader) => ({ field: reader.string(), value: reader.string() }));
    case RdbType.HashMetadata:
      return hashElements((reader) => readExpiringField(reader, firstMs));
    case RdbType.ZSet:
    case RdbType.ZSet2:
      return orderElements(type === RdbType.ZSet2);
    default:
      return undefined;
  }
}
