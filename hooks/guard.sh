# What the hooks need that look at content or start Python; sourced after common.sh, by those alone.

# Sets br3_python: the first interpreter of the list that is still there; 1 when there is none, or br3 itself is gone.
br3_find_python() {
    [ -f "$br3_check" ] || return 1
    br3_python=
    while IFS= read -r br3_line; do
        if [ -n "$br3_line" ] && [ -x "$br3_line" ]; then
            br3_python=$br3_line
            return 0
        fi
    done <<END
$br3_pythons
END
    for br3_line in python3 python3.14 python3.13 python3.12 python3.11; do
        if "$br3_line" -I -S -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            br3_python=$br3_line
            return 0
        fi
    done
    return 1
}

# Whether the slower halves can be run: by the Python that br3 is installed for, they need its packages.
br3_has_program() { [ -x "$br3_program" ] && [ -f "$br3_entry" ]; }

# br3 was uninstalled, or this is another machine. What then cannot be looked at passes, unless the plan says otherwise.
br3_gone() {
    br3_message="$br3_hook: br3 is not where it was (${br3_check:-no path}), so $1 was not looked at. Mend: br3 hooks install"
    [ "$br3_required" != 1 ] || br3_refuse "$br3_message; [hooks] required = true stops here"
    br3_say "$br3_message"
}

# Look at what is staged: one diff and one grep; Python only when they find something to look at.
br3_guard_staged() {
    br3_find_build
    if br3_may_pass && br3_is_owned && br3_is_free; then return 0; fi
    if ! br3_find_python; then
        br3_gone "what is staged"
        return 0
    fi
    br3_merging=
    if [ -f "$br3_git_dir/MERGE_HEAD" ]; then
        while IFS= read -r br3_line; do br3_merging=$br3_merging,$br3_line; done <"$br3_git_dir/MERGE_HEAD"
    fi
    "$br3_python" -I -S "$br3_check" staged --merging "${br3_merging#,}" --settings "$br3_home/guard.json" --branch "$br3_branch" --build "$br3_build" \
        --run "$br3_run" --task "$br3_task" --hook "$br3_hook" --journal "$br3_journal" || case $? in
    1 | 2) exit 1 ;; # it has said why
    *) br3_refuse "$br3_hook: $br3_python could not run the guard, so nothing passes. Mend: br3 hooks install" ;;
    esac
}

# Whether nothing that is staged has a keyword of a rule, or adds more bytes than a file may have. Two bytes of value 2
# end the diff: where they stand is its size. A NUL may hide a keyword (and UTF-16 is full of them), so it is a keyword
# itself, as a byte of value 1. A diff that fails counts as a hit, so that Python says why.
br3_may_pass() {
    br3_hit=$(
        exec 2>/dev/null # whatever fails here, Python looks, and says what is wrong
        {
            # The same options as br3/guard/patches.py: against every setting and attribute that would hide a line.
            git diff --cached -p --text --no-ext-diff --no-textconv --no-color --no-color-moved --ws-error-highlight=none \
                --src-prefix=a/ --dst-prefix=b/ -U0 --inter-hunk-context=0 --no-relative -O/dev/null \
                --ignore-submodules=none --submodule=short --find-renames --irreversible-delete --diff-algorithm=default \
                --output-indicator-new=+ --output-indicator-old=- --output-indicator-context=' ' || echo '<<<<<<<'
        } | {
            tr '\000\002' '\001\001' && printf '\002\002\n' # without tr nothing has been looked at
        } | LC_ALL=C grep -a -F -i -b -o -m 1 -f "$br3_home/keywords"
    )
    case $br3_hit in
    *:[[:cntrl:]][[:cntrl:]]) [ "${br3_hit%%:*}" -le "$br3_max_bytes" ] 2>/dev/null ;; # the end, and no keyword before it
    *) false ;;
    esac
}

# Whether all that is staged is on the ground of the build that this worktree belongs to.
br3_is_owned() {
    [ -n "$br3_build" ] || return 0
    case $br3_owners in
    *" $br3_build "*) ;;
    *) return 0 ;;
    esac
    set --
    while IFS= read -r br3_line; do set -- "$@" "$br3_line"; done <"$br3_home/owns/$br3_build"
    (
        unset GIT_LITERAL_PATHSPECS GIT_GLOB_PATHSPECS GIT_NOGLOB_PATHSPECS GIT_ICASE_PATHSPECS # these change what "$@" names
        git diff --cached --quiet --no-ext-diff --no-renames --no-relative --ignore-submodules=none -- "$@"
    )
}

# Whether nothing that is staged is on ground that another build claims, as far as files tell; Python looks whether the
# claim still counts. Without such files no process is started. What a build owns is its own: that has been looked at.
br3_is_free() {
    case $br3_owners in
    *" ${br3_build:-/} "*) return 0 ;;
    esac
    set --
    for br3_file in "$br3_home"/../claims/*; do
        [ -f "$br3_file" ] && [ "${br3_file##*/}" != "$br3_build" ] || continue
        while IFS= read -r br3_line; do
            case $br3_line in
            spec=*) set -- "$@" "${br3_line#spec=}" ;;
            esac
        done <"$br3_file"
    done
    [ $# -gt 0 ] || return 0
    (
        unset GIT_LITERAL_PATHSPECS GIT_GLOB_PATHSPECS GIT_NOGLOB_PATHSPECS GIT_ICASE_PATHSPECS # these change what "$@" names
        git diff --cached --quiet --no-ext-diff --no-renames --no-relative --ignore-submodules=none -- "$@"
    )
}
