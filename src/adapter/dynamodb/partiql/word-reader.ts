/** What all parts of the grammar share: words with one look ahead, names, paths, and values with the parameters that `?` stands for. */
import { validationError } from '../errors/index.ts';
import type { DocumentPath } from '../expressions/index.ts';
import { type AttributeValue, canonicalNumber, isScalar, orderedSet, type SetValue } from '../values/index.ts';
import { malformed, type Word, wordsOf } from './words.ts';

/** Of lists, maps, parentheses and calls within each other. */
export const MAX_DEPTH = 64;

const SET_TYPES: Readonly<Record<string, SetValue['type']>> = { S: 'SS', N: 'NS', B: 'BS' };

/** See the top of the file. */
export class WordReader {
  private readonly words: readonly Word[];
  private readonly parameters: readonly AttributeValue[];
  private at = 0;
  private used = 0;

  constructor(text: string, parameters: readonly AttributeValue[]) {
    this.words = wordsOf(text);
    this.parameters = parameters;
  }

  protected get word(): Word {
    return this.words[this.at]!;
  }

  protected get next(): Word {
    return this.words[this.at + 1] ?? this.word;
  }

  protected advance(): Word {
    const { word } = this;
    if (word.kind !== 'end') this.at++;
    return word;
  }

  protected unexpected(): Error {
    return malformed(`Unexpected token: ${this.word.text}`);
  }

  protected isSymbol(symbol: string): boolean {
    return this.word.kind === 'symbol' && this.word.text === symbol;
  }

  protected takeSymbol(symbol: string): boolean {
    if (!this.isSymbol(symbol)) return false;
    this.at++;
    return true;
  }

  protected expectSymbol(symbol: string): void {
    if (!this.takeSymbol(symbol)) throw this.unexpected();
  }

  /** @param keyword in upper case */
  protected isKeyword(keyword: string): boolean {
    return this.word.kind === 'word' && this.word.text.toUpperCase() === keyword;
  }

  protected takeKeyword(keyword: string): boolean {
    if (!this.isKeyword(keyword)) return false;
    this.at++;
    return true;
  }

  protected expectKeyword(keyword: string): void {
    if (!this.takeKeyword(keyword)) throw this.unexpected();
  }

  /** Refuses what is left, and parameters that nothing stands for. */
  protected end(): void {
    this.takeSymbol(';');
    if (this.word.kind !== 'end') throw this.unexpected();
    if (this.used !== this.parameters.length) throw parameterMismatch();
  }

  protected name(): string {
    const { word } = this;
    if ((word.kind !== 'word' && word.kind !== 'quoted') || word.text === '') throw this.unexpected();
    this.at++;
    return word.text;
  }

  protected path(): DocumentPath {
    const path: (string | number)[] = [this.name()];
    for (;;) {
      if (this.takeSymbol('.')) path.push(this.name());
      else if (this.takeSymbol('[')) {
        const { word } = this;
        if (word.kind === 'string') path.push(word.text);
        else if (word.kind === 'number' && /^[0-9]{1,9}$/.test(word.text)) path.push(Number(word.text));
        else throw this.unexpected();
        this.at++;
        this.expectSymbol(']');
      } else break;
    }
    if (path.length > MAX_DEPTH) throw malformed('The document path is too deep');
    return path;
  }

  /** True when a value, not a name, is to be read. */
  protected get isValue(): boolean {
    const { kind, text } = this.word;
    if (kind === 'string' || kind === 'number') return true;
    if (kind === 'word') return ['TRUE', 'FALSE', 'NULL'].includes(text.toUpperCase());
    return kind === 'symbol' && ['?', '[', '{', '<<', '-', '+'].includes(text);
  }

  protected value(depth = 0): AttributeValue {
    if (depth > MAX_DEPTH) throw malformed('Values are nested too deep');
    const word = this.advance();
    if (word.kind === 'string') return { type: 'S', value: wellFormed(word.text) };
    if (word.kind === 'number') return { type: 'N', value: canonicalNumber(word.text) };
    if (word.kind === 'word') {
      const keyword = word.text.toUpperCase();
      if (keyword === 'TRUE' || keyword === 'FALSE') return { type: 'BOOL', value: keyword === 'TRUE' };
      if (keyword === 'NULL') return { type: 'NULL' };
    }
    if (word.kind === 'symbol') {
      if (word.text === '?') return this.parameter();
      if (word.text === '[') return { type: 'L', value: this.values(']', depth + 1) };
      if (word.text === '<<') return setOf(this.values('>>', depth + 1));
      if (word.text === '{') return { type: 'M', value: this.map(depth + 1) };
      if ((word.text === '-' || word.text === '+') && this.word.kind === 'number')
        return { type: 'N', value: canonicalNumber(word.text + this.advance().text) };
    }
    throw malformed(`Unexpected token: ${word.text}`);
  }

  private parameter(): AttributeValue {
    const value = this.parameters[this.used++];
    if (value === undefined) throw parameterMismatch();
    return value;
  }

  /** Values up to the symbol that ends them. */
  protected values(end: string, depth: number): AttributeValue[] {
    const values: AttributeValue[] = [];
    if (this.takeSymbol(end)) return values;
    do values.push(this.value(depth));
    while (this.takeSymbol(','));
    this.expectSymbol(end);
    return values;
  }

  private map(depth: number): Map<string, AttributeValue> {
    const map = new Map<string, AttributeValue>();
    if (this.takeSymbol('}')) return map;
    do {
      const key = this.advance();
      if (key.kind !== 'string') throw malformed(`Expected a name in single quotes: ${key.text}`);
      this.expectSymbol(':');
      if (map.has(key.text)) throw malformed(`Duplicate name: ${key.text}`);
      map.set(wellFormed(key.text), this.value(depth));
    } while (this.takeSymbol(','));
    this.expectSymbol('}');
    return map;
  }
}

const parameterMismatch = (): Error => validationError("Number of parameters in request and statement don't match.");

function wellFormed(text: string): string {
  if (!text.isWellFormed()) throw malformed('Strings must be well-formed Unicode');
  return text;
}

function setOf(members: readonly AttributeValue[]): AttributeValue {
  const [first] = members;
  const type = first === undefined ? undefined : SET_TYPES[first.type];
  if (type === undefined || !members.every((member) => member.type === first!.type))
    throw malformed('A set has members of one type: strings, numbers or binaries');
  const set = orderedSet(
    type,
    members.filter(isScalar).map(({ value }) => value),
  );
  if (set === undefined)
    throw validationError('One or more parameter values were invalid: Input collection contains duplicates.');
  return set;
}
