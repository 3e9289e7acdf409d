/** Changes functions of a WebAssembly module whose bytes are known. */
import { assert } from '../../../../platform/index.ts';
import { leb } from './module-bytes.ts';

const HEADER_BYTES = 8;
const SECTION = { import: 2, code: 10 } as const;
const FUNCTION_IMPORT = 0;

/** What becomes of a function. */
export interface FunctionChange {
  /** What its body begins with: the declaration of its local variables, then instructions. */
  readonly code: readonly number[];
  /** What that takes the place of: the whole body, or what it has begun with. */
  readonly takesPlaceOf: 'everything' | readonly number[];
}

/** @param changes by the numbers of functions, imports included @returns the changed module @throws AssertionError when a function begins otherwise */
export function changeFunctions(module: Buffer, changes: ReadonlyMap<number, FunctionChange>): Buffer<ArrayBuffer> {
  const reader = new ModuleReader(module, HEADER_BYTES);
  const parts: Uint8Array[] = [module.subarray(0, HEADER_BYTES)];
  let imports = 0;
  while (!reader.isAtEnd) {
    const from = reader.at;
    const id = reader.byte();
    const content = reader.bytes(reader.number());
    if (id === SECTION.import) imports = functionImports(content);
    if (id !== SECTION.code) parts.push(module.subarray(from, reader.at));
    else {
      const code = changedCode(content, imports, changes);
      parts.push(Uint8Array.of(id, ...leb(code.length)), code);
    }
  }
  return Buffer.concat(parts);
}

function changedCode(section: Buffer, imports: number, changes: ReadonlyMap<number, FunctionChange>): Buffer {
  const reader = new ModuleReader(section, 0);
  const count = reader.number();
  const parts: Uint8Array[] = [Uint8Array.from(leb(count))];
  for (let index = 0; index < count; index++) {
    const body = reader.bytes(reader.number());
    const change = changes.get(imports + index);
    const changed = change === undefined ? body : changedBody(body, change);
    parts.push(Uint8Array.from(leb(changed.length)), changed);
  }
  return Buffer.concat(parts);
}

function changedBody(body: Buffer, { code, takesPlaceOf }: FunctionChange): Buffer {
  if (takesPlaceOf === 'everything') return Buffer.from(code);
  const begins = takesPlaceOf.every((byte, at) => body[at] === byte);
  assert(begins, 'a function of the module begins otherwise');
  return Buffer.concat([Buffer.from(code), body.subarray(takesPlaceOf.length)]);
}

/** How many functions a section imports, which imports nothing else. */
function functionImports(section: Buffer): number {
  const reader = new ModuleReader(section, 0);
  const count = reader.number();
  for (let index = 0; index < count; index++) {
    reader.bytes(reader.number());
    reader.bytes(reader.number());
    assert(reader.byte() === FUNCTION_IMPORT, 'the module imports functions only');
    reader.number();
  }
  return count;
}

class ModuleReader {
  at: number;
  private readonly source: Buffer;

  constructor(source: Buffer, at: number) {
    this.source = source;
    this.at = at;
  }

  get isAtEnd(): boolean {
    return this.at >= this.source.length;
  }

  byte(): number {
    return this.source.readUInt8(this.at++);
  }

  bytes(length: number): Buffer {
    this.at += length;
    return this.source.subarray(this.at - length, this.at);
  }

  /** A number without a sign, seven bits a byte. */
  number(): number {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.byte();
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value >>> 0;
    }
  }
}
