/**
 * The body of a request as JSON. Beside what is no JSON at all, bodies are refused that two readers could understand in two ways: bytes that are
 * no UTF-8, half of a surrogate pair, and a name that is twice in one object.
 */
import { isUtf8 } from 'node:buffer';
import { type DynamoError, serializationError } from '../errors/index.ts';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;

/** Escapes that may be halves of a pair. */
const SURROGATE_ESCAPE = /\\u[dD][89a-fA-F]/;

/** The service says nothing more about it. */
const noJson = (): DynamoError => serializationError('');

/**
 * @returns what the text says; its objects have own members alone, `__proto__` among them when it is there
 * @throws DynamoError SerializationException
 */
export function parseJsonBody(body: Buffer): unknown {
  if (!isUtf8(body)) throw noJson();
  const text = body.toString('utf8');
  let tree: unknown;
  try {
    tree = JSON.parse(text);
  } catch {
    throw noJson();
  }
  // Of members with one name only the last is in the tree.
  if (membersWritten(text) !== membersOf(tree)) throw serializationError('Duplicate field name in an object');
  if (SURROGATE_ESCAPE.test(text) && !isWellFormed(tree)) {
    throw serializationError('Unpaired surrogate in a string');
  }
  return tree;
}

/** How many members all objects of a JSON text have together: colons outside of strings. */
function membersWritten(text: string): number {
  let members = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === COLON) members++;
    else if (code === QUOTE) {
      at = text.indexOf('"', at + 1);
      while (isEscaped(text, at)) at = text.indexOf('"', at + 1);
    }
  }
  return members;
}

function isEscaped(text: string, quote: number): boolean {
  let at = quote - 1;
  while (text.charCodeAt(at) === BACKSLASH) at--;
  return (quote - at) % 2 === 0;
}

/** Without recursion: the text may be as deep as it is long. */
function membersOf(tree: unknown): number {
  let members = 0;
  const left: unknown[] = [tree];
  while (left.length > 0) {
    const node = left.pop();
    if (typeof node !== 'object' || node === null) continue;
    if (Array.isArray(node)) {
      for (const element of node) if (typeof element === 'object') left.push(element);
      continue;
    }
    for (const name in node) {
      members++;
      const value = (node as Record<string, unknown>)[name];
      if (typeof value === 'object') left.push(value);
    }
  }
  return members;
}

function isWellFormed(tree: unknown): boolean {
  const left: unknown[] = [tree];
  while (left.length > 0) {
    const node = left.pop();
    if (typeof node === 'string' && !node.isWellFormed()) return false;
    if (typeof node !== 'object' || node === null) continue;
    for (const [name, value] of Object.entries(node)) {
      if (!name.isWellFormed()) return false;
      left.push(value);
    }
  }
  return true;
}
