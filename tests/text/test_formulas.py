"""Formulas of pages as LaTeX."""

from __future__ import annotations

import time

import pytest

from ultraclean.text import mathml
from ultraclean.text.formulas import with_formulas

KATEX = (
    '<span class="katex"><span class="katex-mathml"><math><semantics><mrow><mi>c</mi></mrow>'
    '<annotation encoding="application/x-tex">c &lt; \\pm\\sqrt{a^2}</annotation></semantics></math></span>'
    '<span class="katex-html" aria-hidden="true"><span class="base">c<span>x</span></span></span></span>'
)
WIKIPEDIA = (
    '<span class="mwe-math-element"><span style="display: none;"><math alttext="{\\displaystyle A^{T}}">'
    '<semantics><mrow></mrow><annotation encoding="application/x-tex">{\\displaystyle A^{T}}</annotation>'
    '</semantics></math></span><img class="mwe-math-fallback-image-inline" alt="{\\displaystyle A^{T}}"></span>'
)
ROOTS = (
    "<math><mi>x</mi><mo>=</mo><mfrac><mrow><mo>−</mo><mi>b</mi><mo>±</mo><msqrt><msup><mi>b</mi><mn>2</mn>"
    "</msup><mo>−</mo><mn>4</mn><mi>a</mi><mi>c</mi></msqrt></mrow><mrow><mn>2</mn><mi>a</mi></mrow></mfrac></math>"
)


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        (KATEX, r"$c &lt; \pm\sqrt{a^2}$"),
        (f'<span class="katex-display">{KATEX}</span>', r" $$c &lt; \pm\sqrt{a^2}$$ "),
        (WIKIPEDIA, "$A^{T}$"),
        (ROOTS, r"$x=\frac{-b\pm\sqrt{b^{2}-4ac}}{2a}$"),
        ('<math display="block" alttext="y"></math>', " $$y$$ "),
        (
            '<span class="MathJax_Preview">x</span><span class="MathJax"><span>x</span></span>'
            '<script type="math/tex">\\int_0^1 f</script>',
            r"$\int_0^1 f$",
        ),
        ('<script type="math/tex; mode=display">a&b</script>', " $$a&amp;b$$ "),
        (
            '<mjx-container class="MathJax" display="true"><mjx-math><mjx-mi></mjx-mi></mjx-math>'
            "<mjx-assistive-mml><math><msubsup><mi>q</mi><mn>1</mn><mn>2</mn></msubsup></math>"
            "</mjx-assistive-mml></mjx-container>",
            " $$q_{1}^{2}$$ ",
        ),
        (
            '<span class="MathJax" data-mathml="&lt;math&gt;&lt;mi&gt;k&lt;/mi&gt;&lt;/math&gt;"><i>k</i></span>',
            "$k$",
        ),
        ('<img class="tex" alt="E=mc^2">', "$E=mc^2$"),
        ('<img class="math" src="../_images/math/3c69.png" alt="a_p"/>', "$a_p$"),
        (
            '<div class="math">\n<p><img src="i.png" class="math" alt="\\int f"/></p>\n</div>',
            '<div class="math">\n<p> $$\\int f$$ </p>\n</div>',
        ),
        (
            '<span class="math notranslate">\\(x^2\\)</span>',
            '<span class="math notranslate">\\(x^2\\)</span>',
        ),
        (
            '<img src="https://s0.wp.com/latex.php?latex=x%5E2%2By&amp;bg=ffffff" class="latex">',
            "$x^2+y$",
        ),
    ],
)
def test_markup_of_formulas(markup: str, expected: str) -> None:
    assert with_formulas(f"<p>a {markup} b</p>") == f"<p>a {expected} b</p>"


@pytest.mark.parametrize(
    "page",
    [
        "<p>no formula, 5 $ and 6 $</p>",
        "<p>\\(x\\) and $y$ as they are, with latex in words</p>",
        '<img class="photo" src="latex-gloves.jpg" alt="gloves">',
        "<p>katex <span class='katex'>unended",
        "<math>",
    ],
)
def test_left_alone(page: str) -> None:
    assert with_formulas(page) == page


@pytest.mark.parametrize(
    ("markup", "latex"),
    [
        ("<munderover><mo>∑</mo><mi>i</mi><mi>n</mi></munderover><msub><mi>α</mi><mi>i</mi></msub>",
         r"\sum_{i}^{n}\alpha_{i}"),
        ("<mi>sin</mi><mi>x</mi>", r"\sin x"),
        ("<mroot><mi>x</mi><mn>3</mn></mroot>", r"\sqrt[3]{x}"),
        ("<mtable><mtr><mtd><mi>a</mi></mtd><mtd><mi>b</mi></mtd></mtr><mtr><mtd><mi>c</mi></mtd></mtr></mtable>",
         r"\begin{matrix}a & b \\ c\end{matrix}"),
        ("<mover><mi>x</mi><mo>¯</mo></mover><mo>&#x2208;</mo><mi>ℝ</mi>", r"\bar{x}\in\mathbb{R}"),
        ("<mfenced open='[' close='|'><mi>a</mi><mi>b</mi></mfenced>", r"\left[a,b\right|"),
        ("<mmultiscripts><mi>X</mi><mi>a</mi><none/><mprescripts/><mi>b</mi><mi>c</mi></mmultiscripts>",
         r"{}_{b}^{c}X_{a}"),
        ("<msup><mi>f</mi><mo>′</mo></msup><mo>&ApplyFunction;</mo><mi>π</mi>", r"f'\pi"),
        ("<mfrac linethickness='0'><mi>n</mi><mi>k</mi></mfrac>", r"\binom{n}{k}"),
        ("<msup><mrow><mi>a</mi><mi>b</mi></mrow><mn>2</mn></msup><mtext>if </mtext><mi mathvariant='bold'>v</mi>",
         r"{ab}^{2}\text{if }\mathbf{v}"),
        ("<mml:msqrt><mml:mn>50%</mml:mn></mml:msqrt>", r"\sqrt{50\%}"),
        ("<munder><mi>lim</mi><mi>x</mi></munder><mover><mo>=</mo><mi>d</mi></mover>",
         r"\lim_{x}\overset{d}{=}"),
        ("<mfrac><mi>a</mi>", r"\frac{a}{}"),
        ("</mrow><unknown><mi>a</mi></unknown><mi>", "a"),
    ],
)  # fmt: skip
def test_mathml(markup: str, latex: str) -> None:
    assert mathml.latex(mathml.parse(markup)) == latex


def test_no_page_takes_long() -> None:
    started = time.process_time()
    with_formulas('<span class="katex">' * 20_000 + "<math>" * 20_000)
    with_formulas('<span class="katex"><math>' * 3_000 + "</math></span>" * 3_000)
    mathml.latex(mathml.parse("<mrow>" * 50_000))
    with_formulas("<img class='" * 3_000 + "latex")
    assert time.process_time() - started < 20
