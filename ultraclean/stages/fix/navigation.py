"""Removes lines that are navigation or buttons of a page: menus, `Page 2 of 5`, `Back to top`.

The cleaners of UltraData-Math's L1 tier (remove_navigation_bar, remove_page_button,
remove_page_small_button), with the Chinese of the same. Deliberately different: a line goes only as
a whole, so that no sentence loses a part to a list of patterns (there a search within the line
deletes what it finds); capital letters do not matter; menus are known by their form.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ClassVar, Final

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator

from ultraclean.document import Batch
from ultraclean.stage import Map

BUTTONS: Final = (
    r"(?:please )?click (?:here|to (?:enlarge|expand|zoom|share|print|tweet|play|continue|view|see more))",
    r"(?:print|save|e-?mail|share|bookmark|download|report|cite|follow) this (?:article|page|post|story|link|topic|item)",
    r"(?:go |going )?back(?: to (?:the )?(?:top|home|homepage|main page|index|list|search results?|results|news|blog))?",
    r"(?:return|jump|skip|scroll)(?: back)? to (?:the )?(?:top|home|homepage|main (?:page|content|menu)|content|navigation|index|video(?: video settings)?|page|news and events)",
    r"(?:read|show|load|see|view|learn) (?:more|less|all|full (?:article|story))(?: comments| posts| articles)?",
    r"continue reading(?: below)?|read the (?:full|rest)(?: (?:article|story|post))?|advertisement(?: - continue reading below)?",
    r"comments are closed|(?:leave|post|add|write) a (?:comment|reply)|no comments(?: yet)?|reply with quote|quote selected|(?:log|sign) in to (?:reply|comment|post)",
    r"add to (?:cart|wish ?list|basket|favou?rites|compare|this section)|save/compare|buy now|quick view|in stock|out of stock",
    r"(?:share|follow us|find us) on (?:facebook|twitter|x|linkedin|instagram|pinterest|whatsapp|reddit|youtube)",
    r"swipe left(?: or right)?|allow map scroll|close \(esc\)|preferences saved|(?:copy|co) to clipboard|toggle (?:navigation|menu|sidebar)|open menu|close menu|accept (?:all )?cookies",
    r"点击(?:这里|此处|查看(?:更多|全文|原文|大图)?|进入|下载|放大|展开|阅读(?:全文|原文)?)|(?:阅读|展开|查看|显示|加载)(?:全文|原文|更多|全部|详情|更多评论|剩余内容)|收起|展开",
    r"返回(?:顶部|首页|列表|上一页|目录|主页)?|回到顶部|(?:打印|收藏|分享|转发|举报)(?:本页|本文|此页|该页|文章)?|关闭(?:窗口|本页)?|分享(?:到|至)[^\n]{0,20}|(?:复制|复制链接|复制代码|登录|注册|搜索|首页|关注|点赞|评论|发表评论|我要评论|网站地图|加入收藏|设为首页)",
)
"""Whole lines: things to press."""

WORDS: Final = (
    r"(?-i:Share|Tweet|Pin|Print|E-?[Mm]ail|Reply|Close|Cancel|Submit|Search|Menu|Log ?[Ii]n|Log ?[Oo]ut|Sign ?(?:[Ii]n|[Uu]p|[Oo]ut)|Register|Subscribe|Home|Copy|Copied!?|Expand|Collapse|SHARE|TWEET|PRINT|REPLY|CLOSE|CANCEL|SUBMIT|SEARCH|MENU|LOGIN|LOG IN|LOGOUT|SIGN IN|SIGN UP|REGISTER|SUBSCRIBE|HOME)",
)
"""Whole lines of one word, in capitals as on a button: a paragraph may end in a line `share.`"""

_N: Final = r"[0-9]{1,8}"
PAGES: Final = (
    rf"[(\[•/-]? ?pages?:? ?{_N}(?: ?(?:of|/) ?{_N})?[.)\]]?(?: ?next(?: page| »)?| ?prev)*",
    rf"pages?: ?(?:(?:page )?\[?{_N}\]?[ ,.…|]*){{2,}}(?:next ?»?)?",
    rf"(?:page ?{_N}[ ,]*){{2,}}",
    rf"(?:«|<|‹|←)? ?(?:previous|prev|older)(?: (?:page|article|post|posts|entry|topic|chapter|section|comments|{_N}))?",
    r"(?:next|newer)(?: (?:page|article|post|posts|entry|topic|chapter|section|comments))? ?(?:»|>|›|→)?",
    r"\(?(?:previous|next) entry\)?|(?:« ?)?(?:first|last)(?: ?»)?",
    r"(?:«|<|‹|←)? ?(?:previous|prev|first)? ?[|0-9 .…]+ ?(?:next|last) ?(?:»|>|›|→)?",
    r"(?:«|<|‹|←)? ?(?:previous|prev)(?: (?:page|article|post|topic|chapter))? ?[|/·] ?next(?: (?:page|article|post|topic|chapter))? ?(?:»|>|›|→)?",
    rf"go (?:up|down) ?pages ?{_N}|page ?◀ ?{_N} ?▶",
    rf"(?:上|下|前|后)一?(?:页|篇|章|节)(?:[:：][^\n]{{0,60}})?|(?:首页 ?)?上一页[ |0-9.…]*下一页(?: ?(?:末|尾)页)?|(?:末|尾)页|第 ?{_N} ?页(?:[ ,，/]*共 ?{_N} ?页)?|共 ?{_N} ?页(?:[ ,，]*第? ?{_N} ?页)?",
)
"""Whole lines: where one is among pages, and the way to the others."""

_HOME: Final = r"(?:home|homepage|start|main|index|you are here:?(?: home)?|(?:您|你)?(?:所在)?(?:的?当前)?的?位置[:：]? ?(?:首页|主页)?|首页|主页)"
_ITEM: Final = r"[^\n|»›>·•]{1,32}"
BARS: Final = (
    # a trail from the first page to this one
    rf"{_HOME} ?(?:(?:»|›|>|&gt;|/|→|\|) ?{_ITEM}){{1,8}}",
    # a menu: short items, one of which every menu has
    rf"(?:{_ITEM}[|·•] ?){{1,20}}(?:home|about(?: us)?|contact(?: us)?|site ?map|help|faqs?|log ?in|sign in|privacy(?: policy)?|terms(?: of (?:use|service))?|首页|关于我们|联系我们|登录|注册|网站地图|帮助)(?: ?[|·•] ?{_ITEM}){{0,20}}[|·•]?",
    rf"(?:home|about(?: us)?|contact(?: us)?|site ?map|首页|关于我们|联系我们|登录)(?: ?[|·•] ?{_ITEM}){{1,20}}[|·•]?",
    r"(?:home ?» ?)?site ?map|main menu|navigation|table of contents \[(?:hide|show)\]|skip to .{1,30}",
)
"""Whole lines: menus and the trail to a page."""


class Navigation(Map):
    """Text without the lines that only move a reader about the site."""

    stage: ClassVar[str] = "fix.navigation"
    paper: ClassVar[str] = "UltraData-Math, L1 cleaner (navigation bar, page button, small button)"

    column: str = Field(default="text", description="column to clean")
    buttons: bool = Field(default=True, description="lines to press: `Click here`, `阅读全文`")
    pages: bool = Field(default=True, description="lines of pages: `Page 2 of 5`, `下一页`")
    bars: bool = Field(default=True, description="menus and trails: `Home » News`")
    lines: tuple[str, ...] = Field(
        default=(), description="regular expressions (RE2) of further lines to remove, as a whole"
    )

    @field_validator("lines")
    @classmethod
    def _readable(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for expression in value:
            try:
                pc.match_substring_regex(pa.array([""]), f"(?:{expression})")
            except pa.ArrowInvalid as error:
                raise ValueError(f"{expression!r} is no regular expression: {error}") from None
        return value

    def needs(self) -> tuple[str, ...]:
        return (self.column,)

    def open(self) -> Callable[[Batch], Batch]:
        kinds = ((self.buttons, BUTTONS), (self.pages, PAGES), (self.bars, BARS))
        patterns = [rf"(?:{line})[.。!…]?" for chosen, group in kinds if chosen for line in group]
        patterns += [*(WORDS if self.buttons else ()), *self.lines]
        # the line end goes with the line
        expressions = tuple(
            rf"(?im)^[ \t\p{{Zs}}*-]*(?:{pattern})[ \t\p{{Zs}}:：]*\r?$\n?" for pattern in patterns
        )
        return functools.partial(_without, self.column, expressions)


def _without(column: str, expressions: tuple[str, ...], batch: Batch) -> Batch:
    before = after = batch[column]
    for expression in expressions:
        after = pc.replace_substring_regex(after, expression, "")
    return batch if after.equals(before) else batch.with_columns({column: after})
