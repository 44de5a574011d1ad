export function serverHindi(text: string): string {
  return text;
}
