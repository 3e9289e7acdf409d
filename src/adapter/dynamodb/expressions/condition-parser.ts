/**
 * The grammar of conditions and filters:
 *
 *   condition  := condition OR condition | condition AND condition | NOT condition | '(' condition ')' | comparison | call
 *   comparison := operand comparator operand | operand BETWEEN operand AND operand | operand IN '(' operand, .. ')'
 *
 * Parentheses may hold an operand as well, which is known only afterwards. So operands and conditions lie on one stack, operators on another,
 * and what an operator gets is looked at when it is read. No recursion: thousands of open parentheses are a loop.
 */
import { type ExpressionMember, Parser } from './parser.ts';
import type { Comparator, ConditionSyntax, OperandSyntax, ParsedCondition } from './syntax.ts';

const KEYWORDS: ReadonlySet<string> = new Set(['AND', 'OR', 'NOT', 'BETWEEN', 'IN']);
const COMPARATORS: ReadonlySet<string> = new Set(['=', '<>', '<', '<=', '>', '>=']);
const MAX_IN_OPERANDS = 100;

type Pending = '(' | 'OR' | 'AND' | 'NOT';

/** How tightly an operator binds what is at its left. */
const STRENGTHS: Readonly<Record<Pending, number>> = { '(': 0, OR: 1, AND: 2, NOT: 3 };

interface Entry {
  readonly node: ConditionSyntax | OperandSyntax;
  /** It is all that is in a pair of parentheses. */
  readonly isWrapped: boolean;
}

const isCondition = (node: ConditionSyntax | OperandSyntax): node is ConditionSyntax =>
  node.kind !== 'path' && node.kind !== 'value';

const isOperand = (node: ConditionSyntax | OperandSyntax): node is OperandSyntax =>
  node.kind === 'path' || node.kind === 'value' || node.kind === 'call';

class ConditionParser extends Parser {
  private readonly entries: Entry[] = [];
  private readonly pending: Pending[] = [];
  private openParentheses = 0;

  constructor(member: ExpressionMember, text: string) {
    super(member, text, KEYWORDS);
  }

  parse(): ParsedCondition {
    do this.beginning();
    while (this.behind());
    this.end();
    this.combine(0);
    return { condition: this.top.node as ConditionSyntax, isOverwrapped: this.isOverwrapped };
  }

  private get top(): Entry {
    return this.entries.at(-1)!;
  }

  /** Reads up to the next operand. */
  private beginning(): void {
    for (;;) {
      if (this.takeSymbol('(')) {
        this.pending.push('(');
        this.openParentheses++;
      } else if (this.takeKeyword('NOT')) {
        this.countOperator();
        this.pending.push('NOT');
      } else break;
    }
    this.entries.push({ node: this.operand(), isWrapped: false });
  }

  /**
   * Reads what may follow an operand or a condition, up to the next connective.
   * @returns false at the end
   */
  private behind(): boolean {
    for (;;) {
      const { token } = this;
      if (token.kind === 'symbol' && COMPARATORS.has(token.text)) this.comparison();
      else if (this.keyword === 'BETWEEN') this.between();
      else if (this.keyword === 'IN') this.oneOf();
      else if (this.openParentheses > 0 && this.isSymbol(')')) this.close();
      else break;
    }
    if (!isCondition(this.top.node)) throw this.syntaxError();
    const connective = this.keyword;
    if (connective === 'AND' || connective === 'OR') {
      this.advance();
      this.countOperator();
      this.combine(STRENGTHS[connective]);
      this.pending.push(connective);
      return true;
    }
    if (this.openParentheses > 0) throw this.syntaxError();
    return false;
  }

  private takeOperand(): OperandSyntax {
    const { node } = this.top;
    if (!isOperand(node)) throw this.syntaxError();
    this.advance();
    this.countOperator();
    return node;
  }

  private replaceTop(node: ConditionSyntax): void {
    this.entries[this.entries.length - 1] = { node, isWrapped: false };
  }

  private comparison(): void {
    const comparator = this.token.text as Comparator;
    const left = this.takeOperand();
    this.replaceTop({ kind: 'compare', comparator, operands: [left, this.wrappedOperand().operand] });
  }

  private between(): void {
    const operand = this.takeOperand();
    const low = this.wrappedOperand().operand;
    if (!this.takeKeyword('AND')) throw this.syntaxError();
    this.replaceTop({ kind: 'between', operands: [operand, low, this.wrappedOperand().operand] });
  }

  private oneOf(): void {
    const operand = this.takeOperand();
    const members = this.operandList();
    if (members.length > MAX_IN_OPERANDS)
      throw this.problem(`The IN operator is provided with too many operands; number of operands: ${members.length}`);
    this.replaceTop({ kind: 'in', operands: [operand, ...members] });
  }

  private close(): void {
    const { top } = this;
    if (!isCondition(top.node) && this.pending.at(-1) !== '(') throw this.syntaxError();
    this.advance();
    this.combine(STRENGTHS.OR);
    this.pending.pop();
    this.openParentheses--;
    const inner = this.top;
    if (inner.isWrapped) this.isOverwrapped = true;
    const node = inner.node.kind === 'path' ? this.operandBehind(inner.node) : inner.node;
    this.entries[this.entries.length - 1] = { node, isWrapped: node === inner.node };
  }

  /** Puts together what binds at least so tightly. */
  private combine(strength: number): void {
    for (;;) {
      const operator = this.pending.at(-1);
      if (operator === undefined || operator === '(' || STRENGTHS[operator] < strength) return;
      this.pending.pop();
      const right = this.entries.pop()!.node as ConditionSyntax;
      if (operator === 'NOT') {
        this.entries.push({ node: { kind: 'not', condition: right }, isWrapped: false });
        continue;
      }
      const left = this.entries.pop()!.node as ConditionSyntax;
      const kind = operator === 'AND' ? 'and' : 'or';
      this.entries.push({ node: { kind, left, right }, isWrapped: false });
    }
  }
}

/**
 * Parses a condition, a filter or a key condition.
 * @throws DynamoError ValidationException
 */
export const parseCondition = (member: ExpressionMember, text: string): ParsedCondition =>
  new ConditionParser(member, text).parse();
