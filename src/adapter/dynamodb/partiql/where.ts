/** The grammar of WHERE: OR over AND over NOT over comparisons, with parentheses. */
import type { Condition, Operand } from '../expressions/index.ts';
import type { AttributeType, AttributeValue } from '../values/index.ts';
import { MAX_DEPTH, WordReader } from './word-reader.ts';
import { malformed } from './words.ts';

const COMPARATORS: ReadonlyMap<string, '=' | '<>' | '<' | '<=' | '>' | '>='> = new Map([
  ['=', '='],
  ['<>', '<>'],
  ['!=', '<>'],
  ['<', '<'],
  ['<=', '<='],
  ['>', '>'],
  ['>=', '>='],
]);
const TYPES: ReadonlySet<string> = new Set(['S', 'N', 'B', 'BOOL', 'NULL', 'L', 'M', 'SS', 'NS', 'BS']);
const MAX_IN_VALUES = 100;

const not = (condition: Condition): Condition => ({ kind: 'not', condition });

/** See the top of the file. */
export class WhereReader extends WordReader {
  protected condition(depth = 0): Condition {
    if (depth > MAX_DEPTH) throw malformed('Conditions are nested too deep');
    let left = this.conjunction(depth);
    while (this.takeKeyword('OR')) left = { kind: 'or', left, right: this.conjunction(depth) };
    return left;
  }

  private conjunction(depth: number): Condition {
    let left = this.negation(depth);
    while (this.takeKeyword('AND')) left = { kind: 'and', left, right: this.negation(depth) };
    return left;
  }

  private negation(depth: number): Condition {
    let isNegated = false;
    while (this.takeKeyword('NOT')) isNegated = !isNegated;
    const condition = this.primary(depth);
    return isNegated ? not(condition) : condition;
  }

  private primary(depth: number): Condition {
    if (this.takeSymbol('(')) {
      const inner = this.condition(depth + 1);
      this.expectSymbol(')');
      return inner;
    }
    return this.call() ?? this.comparison(this.operand());
  }

  /** A function that is a condition by itself. */
  private call(): Condition | undefined {
    const name = this.calledName;
    if (name === 'begins_with' || name === 'contains') {
      this.openCall();
      const operand = this.operand();
      this.expectSymbol(',');
      const part = this.operand();
      this.expectSymbol(')');
      return { kind: name, operand, part };
    }
    if (name !== 'attribute_type') return undefined;
    this.openCall();
    const operand = this.operand();
    this.expectSymbol(',');
    const type = this.value();
    this.expectSymbol(')');
    if (type.type !== 'S' || !TYPES.has(type.value)) throw malformed('attribute_type takes the name of a type');
    return { kind: name, operand, type: type.value as AttributeType };
  }

  /** The function that is called next, in lower case. */
  protected get calledName(): string | undefined {
    const { word, next } = this;
    const isName = word.kind === 'word' || word.kind === 'quoted';
    return isName && next.kind === 'symbol' && next.text === '(' ? word.text.toLowerCase() : undefined;
  }

  protected openCall(): void {
    this.advance();
    this.expectSymbol('(');
  }

  private operand(): Operand {
    if (this.isValue) return { kind: 'value', value: this.value() };
    const name = this.calledName;
    if (name === undefined) return { kind: 'path', path: this.path() };
    if (name !== 'size') throw malformed(`Unknown function: ${this.word.text}`);
    this.openCall();
    const path = this.path();
    this.expectSymbol(')');
    return { kind: 'size', of: { kind: 'path', path } };
  }

  private comparison(operand: Operand): Condition {
    const comparator = this.word.kind === 'symbol' ? COMPARATORS.get(this.word.text) : undefined;
    if (comparator !== undefined) {
      this.advance();
      return { kind: 'compare', comparator, left: operand, right: this.operand() };
    }
    const isNegated = this.isKeyword('NOT');
    if (isNegated) this.advance();
    const condition = this.rangeOrList(operand);
    return isNegated ? not(condition) : condition;
  }

  private rangeOrList(operand: Operand): Condition {
    if (this.takeKeyword('BETWEEN')) {
      const low = this.operand();
      this.expectKeyword('AND');
      return { kind: 'between', operand, low, high: this.operand() };
    }
    if (this.takeKeyword('IN')) return { kind: 'in', operand, members: this.members() };
    if (!this.takeKeyword('IS') || operand.kind !== 'path') throw this.unexpected();
    const isNegated = this.takeKeyword('NOT');
    const condition = this.absence(operand);
    return isNegated ? not(condition) : condition;
  }

  private absence(operand: Operand & { readonly kind: 'path' }): Condition {
    if (this.takeKeyword('NULL')) return { kind: 'attribute_type', operand, type: 'NULL' };
    this.expectKeyword('MISSING');
    return not({ kind: 'exists', path: operand.path });
  }

  private members(): Operand[] {
    const end = this.takeSymbol('(') ? ')' : ']';
    if (end === ']') this.expectSymbol('[');
    const members = this.values(end, 1);
    if (members.length === 0 || members.length > MAX_IN_VALUES)
      throw malformed(`IN takes 1 to ${MAX_IN_VALUES} values, not ${members.length}`);
    return members.map((value: AttributeValue) => ({ kind: 'value', value }));
  }
}
