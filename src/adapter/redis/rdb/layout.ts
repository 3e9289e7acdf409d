/** How far values reach in Redis' file format, without looking at what is in them: the file has no lengths of whole values. */
import { RdbFormatError } from './errors.ts';
import { RdbType } from './objects.ts';
import type { RdbReader } from './rdb-reader.ts';
import { ID_BYTES } from './streams.ts';

/** What modules write is passed over only. */
export const ModuleType = { First: 6, Second: 7 } as const;

/** Parts of what a module writes. */
const ModulePart = { End: 0, Signed: 1, Unsigned: 2, Float: 3, Double: 4, String: 5 } as const;

/**
 * Passes a value over, the type in front was read.
 * @throws RdbFormatError for a type that nobody knows, RdbEndError when more bytes are needed
 */
export function skipValue(reader: RdbReader, type: number): void {
  switch (type) {
    case RdbType.String:
    case RdbType.HashZipmap:
    case RdbType.ListZiplist:
    case RdbType.SetIntset:
    case RdbType.ZSetZiplist:
    case RdbType.HashZiplist:
    case RdbType.HashListpack:
    case RdbType.ZSetListpack:
    case RdbType.SetListpack:
      reader.skipString();
      break;
    case RdbType.HashListpackEx:
      reader.skip(8);
      reader.skipString();
      break;
    case ModuleType.Second:
      reader.length();
      skipModuleParts(reader);
      break;
    case RdbType.StreamListpacks:
    case RdbType.StreamListpacks2:
    case RdbType.StreamListpacks3:
      skipStream(reader, type);
      break;
    default: {
      const skipElement = elementOf(type);
      if (skipElement === undefined) throw new RdbFormatError(`values of type ${type} are not known here`);
      if (type === RdbType.HashMetadata) reader.skip(8);
      for (let left = reader.length(); left > 0; left--) skipElement(reader);
    }
  }
}

/** How an element of a value is passed over that is a count and so many elements. */
function elementOf(type: number): ((reader: RdbReader) => void) | undefined {
  switch (type) {
    case RdbType.List:
    case RdbType.Set:
    case RdbType.ListQuicklist:
      return (reader) => reader.skipString();
    case RdbType.Hash:
      return (reader) => {
        reader.skipString();
        reader.skipString();
      };
    case RdbType.ZSet:
      return (reader) => {
        reader.skipString();
        reader.doubleText();
      };
    case RdbType.ZSet2:
      return (reader) => {
        reader.skipString();
        reader.skip(8);
      };
    case RdbType.ListQuicklist2:
      return (reader) => {
        reader.length();
        reader.skipString();
      };
    case RdbType.HashMetadata:
      return (reader) => {
        reader.length();
        reader.skipString();
        reader.skipString();
      };
    default:
      return undefined;
  }
}

/** What a module wrote of a value, or of itself: parts that say what they are. */
export function skipModuleParts(reader: RdbReader): void {
  for (;;) {
    const part = reader.length();
    if (part === ModulePart.End) return;
    if (part === ModulePart.Signed || part === ModulePart.Unsigned) reader.bigLength();
    else if (part === ModulePart.Float) reader.skip(4);
    else if (part === ModulePart.Double) reader.skip(8);
    else if (part === ModulePart.String) reader.skipString();
    else throw new RdbFormatError(`${part} is no part of a module's value`);
  }
}

function skipStream(reader: RdbReader, type: number): void {
  for (let nodes = reader.length(); nodes > 0; nodes--) {
    reader.skipString();
    reader.skipString();
  }
  // Entries, and the last id; since 7.0 the first id, the highest deleted one, and how many were ever added.
  for (let numbers = type === RdbType.StreamListpacks ? 3 : 8; numbers > 0; numbers--) reader.bigLength();
  for (let groups = reader.length(); groups > 0; groups--) {
    reader.skipString();
    for (let numbers = type === RdbType.StreamListpacks ? 2 : 3; numbers > 0; numbers--) reader.bigLength();
    for (let pending = reader.length(); pending > 0; pending--) {
      reader.skip(ID_BYTES + 8);
      reader.bigLength();
    }
    for (let consumers = reader.length(); consumers > 0; consumers--) {
      reader.skipString();
      reader.skip(type === RdbType.StreamListpacks3 ? 16 : 8);
      for (let pending = reader.length(); pending > 0; pending--) reader.skip(ID_BYTES);
    }
  }
}
