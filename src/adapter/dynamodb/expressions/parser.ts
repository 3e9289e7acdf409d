/**
 * What all grammars share: tokens with one look ahead, paths, operands, and the errors of syntax. Nothing is tried twice, so parsing takes as long as
 * the text is, and what recurses is limited in depth.
 */
import { type DynamoError, validationError } from '../errors/index.ts';
import type { CallSyntax, NamePart, OperandSyntax, PathSyntax } from './syntax.ts';
import { type Token, tokensOf } from './tokens.ts';

/** Of one text, in bytes. */
const MAX_EXPRESSION_BYTES = 4096;
/** Comparators, connectives and functions of one text. */
const MAX_OPERATORS = 300;
/** Names and indexes of one path. */
const MAX_PATH_PARTS = 32;
const MAX_LIST_INDEX = 2 ** 31 - 1;

/** The member of the request that an expression comes from. */
export type ExpressionMember =
  | 'ConditionExpression'
  | 'FilterExpression'
  | 'KeyConditionExpression'
  | 'ProjectionExpression'
  | 'UpdateExpression';

/** What is wrong with one expression, in the words of the service. */
export const expressionError = (member: ExpressionMember, problem: string): DynamoError =>
  validationError(`Invalid ${member}: ${problem}`);

/** An operand, and whether it stands in parentheses. */
export interface WrappedOperand {
  readonly operand: OperandSyntax;
  readonly isWrapped: boolean;
}

/** See the top of the file. */
export class Parser {
  /** Something is in two pairs of parentheses. */
  protected isOverwrapped = false;
  private readonly member: ExpressionMember;
  private readonly keywords: ReadonlySet<string>;
  private readonly text: string;
  private readonly tokens: readonly Token[];
  private at = 0;
  private operators = 0;

  /**
   * @param keywords in upper case: words that are no names
   * @throws DynamoError when the text is empty or too long
   */
  constructor(member: ExpressionMember, text: string, keywords: ReadonlySet<string>) {
    if (text === '') throw expressionError(member, 'The expression can not be empty;');
    const bytes = Buffer.byteLength(text);
    if (bytes > MAX_EXPRESSION_BYTES)
      throw expressionError(member, `Expression size has exceeded the maximum allowed size; expression size: ${bytes}`);
    this.member = member;
    this.keywords = keywords;
    this.text = text;
    this.tokens = tokensOf(text);
  }

  protected get token(): Token {
    return this.tokens[this.at]!;
  }

  protected advance(): Token {
    const token = this.token;
    if (token.kind !== 'end') this.at++;
    return token;
  }

  /** The error at the token that is to be read: it, with its neighbours as they stand in the text. */
  protected syntaxError(): DynamoError {
    const token = this.token;
    const before = this.tokens[this.at - 1] ?? token;
    const after = this.tokens[this.at + 1] ?? token;
    const near = this.text.slice(before.start, token.kind === 'end' ? before.end : after.end);
    return this.problem(`Syntax error; token: "${token.text}", near: "${near}"`);
  }

  protected problem(text: string): DynamoError {
    return expressionError(this.member, text);
  }

  protected countOperator(): void {
    this.operators++;
  }

  /** To be called with all read: whoever walks the tree afterwards relies on it. */
  protected end(): void {
    if (this.token.kind !== 'end') throw this.syntaxError();
    if (this.operators > MAX_OPERATORS)
      throw this.problem(`The expression contains too many operators; operator count: ${this.operators}`);
  }

  protected isSymbol(symbol: string): boolean {
    return this.token.kind === 'symbol' && this.token.text === symbol;
  }

  /** Reads the symbol if it is there. */
  protected takeSymbol(symbol: string): boolean {
    if (!this.isSymbol(symbol)) return false;
    this.at++;
    return true;
  }

  protected expectSymbol(symbol: string): void {
    if (!this.takeSymbol(symbol)) throw this.syntaxError();
  }

  /** The keyword that is to be read, in upper case. */
  protected get keyword(): string | undefined {
    if (this.token.kind !== 'name') return undefined;
    const upper = this.token.text.toUpperCase();
    return this.keywords.has(upper) ? upper : undefined;
  }

  protected takeKeyword(keyword: string): boolean {
    if (this.keyword !== keyword) return false;
    this.at++;
    return true;
  }

  private namePart(): NamePart {
    const token = this.token;
    if (token.kind === 'nameReference') {
      this.at++;
      return { name: token.text, isReference: true };
    }
    if (token.kind !== 'name' || this.keyword !== undefined) throw this.syntaxError();
    this.at++;
    return { name: token.text, isReference: false };
  }

  /** A path, which begins with a name. */
  protected path(): PathSyntax {
    return this.pathBehind([this.namePart()]);
  }

  /** What follows the parts that were read. */
  protected pathBehind(read: readonly (NamePart | number)[]): PathSyntax {
    const parts = [...read];
    for (;;) {
      if (this.takeSymbol('.')) parts.push(this.namePart());
      else if (this.takeSymbol('[')) parts.push(this.listIndex());
      else break;
    }
    if (parts.length > MAX_PATH_PARTS)
      throw this.problem(`The document path has too many nesting elements; nesting depth: ${parts.length}`);
    return { kind: 'path', parts };
  }

  private listIndex(): number {
    if (this.token.kind !== 'number') throw this.syntaxError();
    const text = this.advance().text;
    this.expectSymbol(']');
    const index = Number(text);
    if (index > MAX_LIST_INDEX) throw this.problem(`List index is not within the allowable range; index: [${text}]`);
    return index;
  }

  /** An operand, perhaps in parentheses. */
  protected wrappedOperand(depth = 0): WrappedOperand {
    // Nothing that is deeper can be right: every level is an operator or one pair of parentheses too many.
    if (depth > MAX_OPERATORS) throw this.syntaxError();
    if (!this.takeSymbol('(')) return { operand: this.operand(depth), isWrapped: false };
    const inner = this.wrappedOperand(depth + 1);
    this.expectSymbol(')');
    if (inner.isWrapped) this.isOverwrapped = true;
    const operand = this.operandBehind(inner.operand);
    return { operand, isWrapped: operand === inner.operand };
  }

  /** A path may go on behind parentheses; without that it is the same operand. */
  protected operandBehind(operand: OperandSyntax): OperandSyntax {
    const goesOn = operand.kind === 'path' && (this.isSymbol('.') || this.isSymbol('['));
    return goesOn ? this.pathBehind(operand.parts) : operand;
  }

  /** An operand that does not begin with parentheses. */
  protected operand(depth = 0): OperandSyntax {
    const token = this.token;
    if (token.kind === 'valueReference') {
      this.at++;
      return { kind: 'value', reference: token.text };
    }
    const next = this.tokens[this.at + 1];
    if (token.kind === 'name' && this.keyword === undefined && next?.kind === 'symbol' && next.text === '(')
      return this.call(depth);
    return this.path();
  }

  private call(depth: number): CallSyntax {
    const name = this.advance().text;
    this.countOperator();
    return { kind: 'call', name, operands: this.operandList(depth + 1) };
  }

  /** Operands in parentheses. */
  protected operandList(depth = 0): OperandSyntax[] {
    this.expectSymbol('(');
    const operands: OperandSyntax[] = [];
    do operands.push(this.wrappedOperand(depth).operand);
    while (this.takeSymbol(','));
    this.expectSymbol(')');
    return operands;
  }
}
